"""In which words a chat template has its tool calls written, and so which of vLLM's parsers reads them."""

from __future__ import annotations

import re

_MARKS: tuple[tuple[str, str], ...] = (
    ("[TOOL_CALLS]", "mistral"),
    ("<|tool_calls_section_begin|>", "kimi_k2"),
    ("<minimax:tool_call>", "minimax_m2"),
    ("<seed:tool_call>", "seed_oss"),
    ("<|channel|>commentary", "openai"),
    ('"parameters": dictionary of argument name', "llama3_json"),
)
"""What is found in one family's manner of calls and in no other's, with the parser that reads it."""
_DEEPSEEK = "<｜tool▁calls▁begin｜>"
_GLM_NAME = re.compile(r"<tool_call>\{function-name\}(\n?)<arg_key>")
_JSON_FIELDS = ('{"name":', '"arguments":')


def tool_parser(source: str) -> str | None:
    """The parser for the calls of a template with this text; None if there is a doubt."""
    text = source.replace("\\n", "\n").replace("\\", "")
    found = {parser for mark, parser in _MARKS if mark in text}
    if found:
        if len(found) == 1:
            return found.pop()
        return None
    if _DEEPSEEK in text:
        if "```json" in text:
            return "deepseek_v3"
        return "deepseek_v31"
    glm = _GLM_NAME.search(text)
    if glm:
        if glm[1]:
            return "glm45"
        return "glm47"
    if "<tool_call>" not in text or "<arg_key>" in text:
        return None
    if "<function=" in text:
        if "<parameter=" in text:
            return "qwen3_coder"
        return None
    if all(field in text for field in _JSON_FIELDS):
        return "hermes"
    return None
