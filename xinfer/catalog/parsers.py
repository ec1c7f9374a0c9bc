"""Xinference's words for parsers, in vLLM's."""

from __future__ import annotations

from xinfer.catalog.family import Thinking
from xinfer.messages.model import ThinkingMode

TOOL_PARSERS: dict[str, str | None] = {
    "qwen": "hermes",
    "llama3": "llama3_json",
    "glm4": None,
    "glm5": "glm47",
    "gemma": "gemma4",
    "minimax": "minimax_m2",
    "minimax_m3": "minimax_m3",
    "minicpm5": "minicpm5",
    "kimi-k3": "kimi_k3",
    "deepseek-r1": "deepseek_v3",
    "deepseek-v3": "deepseek_v3",
    "deepseek-v3.1": "deepseek_v31",
    "deepseek-v3.2": "deepseek_v32",
    "deepseek-v4": "deepseek_v4",
    "deepseek-v4.1": "deepseek_v41",
}
"""By Xinference's name; None for the one whose calls vLLM cannot read. A name that is not here is vLLM's own."""

_REASONING_PARSERS = {
    "<mm:think>": "minimax_m3",
    "<seed:think>": "seed_oss",
    "<|channel>thought": "gemma4",
    "<|open|>think<|sep|>": "kimi_k3",
    "[THINK]": "mistral",
}
_USUAL_TAG = "<think>"


def reasoning_parser(start_tag: str, thinking: Thinking) -> str | None:
    """vLLM's parser for thoughts after ``start_tag``; None where more than one might be right.

    Those for ``<think>`` differ in what they make of an answer without any tag.
    """
    if start_tag != _USUAL_TAG:
        return _REASONING_PARSERS.get(start_tag)
    if thinking.mode is ThinkingMode.ALWAYS:
        return "deepseek_r1"
    if thinking.default is False:
        return "deepseek_v3"
    if thinking.default and "enable_thinking" in thinking.keywords:
        return "qwen3"
    return None
