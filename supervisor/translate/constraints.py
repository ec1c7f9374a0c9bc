"""Structured output of text completions, where vLLM has it only for a model that does not think first."""

from __future__ import annotations

from typing import Any

from xinfer.errors import AbilityNotSupported
from xinfer.messages import ModelSpec, ThinkingMode

_FIELDS = ("structured_outputs", "response_format")


def check_constraints(body: dict[str, Any], spec: ModelSpec) -> None:
    """``AbilityNotSupported`` where vLLM would ignore the constraint of a text completion without a word.

    It constrains an answer from the end of the reasoning on. A completion has none to end, unless its prompt has ended it.
    """
    field = next((name for name in _FIELDS if _constrains(body.get(name))), None)
    if field is None or spec.reasoning_parser is None or not _waits_for_reasoning(spec):
        return
    prompt = body.get("prompt")
    if isinstance(prompt, str) and spec.thinking.end_tag not in prompt:
        raise AbilityNotSupported(
            f"The model {spec.uid!r} thinks first, and its text completions cannot be constrained: "
            "ask /v1/chat/completions, where enable_thinking may be false.",
            param=field,
        )


def _constrains(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") != "text"


def _waits_for_reasoning(spec: ModelSpec) -> bool:
    """Parsers of families that think only if they are told to wait for nothing."""
    return spec.thinking.mode is not ThinkingMode.NEVER and spec.thinking.default is not False
