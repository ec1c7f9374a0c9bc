"""How hard and how long to think: ``reasoning_effort`` and ``thinking_budget`` of a request in the family's words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xinfer.errors import InvalidBody
from xinfer.messages import ModelSpec, ThinkingMode

EFFORT = "reasoning_effort"
BUDGET = "thinking_budget"
ENGINE_BUDGET = "thinking_token_budget"
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""What vLLM takes at the top level of a request, where it is OpenAI's field."""
_UNLIMITED = -1


@dataclass(slots=True)
class Measure:
    """What one of the fields comes down to."""

    think: bool | None = None
    """Whether it asks for thinking at all; None if it does not say."""
    words: dict[str, Any] = field(default_factory=dict)
    """Variables of the template, for the case that the model thinks."""
    engine: dict[str, Any] = field(default_factory=dict)
    """Fields of the engine's, for the same case."""


def take_effort(body: dict[str, Any], spec: ModelSpec) -> Measure:
    """``reasoning_effort``, out of ``body``; ``InvalidBody`` names the values that the family has.

    A family without degrees of effort thinks, or does not for ``none``, as with vLLM.
    """
    value = body.pop(EFFORT, None)
    if value is None:
        return Measure()
    own = spec.thinking.effort
    if own and value in own.values:
        return Measure(think=not _is_off(own.keyword, value, spec), words={own.keyword: value})
    if value == "none" and (own is None or spec.thinking.mode is not ThinkingMode.ALWAYS):
        return Measure(think=False)
    if own is None and value in EFFORTS:
        return Measure(think=True)
    known = own.values if own else EFFORTS
    if own and spec.thinking.mode is ThinkingMode.SWITCH and "none" not in known:
        known = ("none", *known)
    raise InvalidBody(
        f"The model {spec.uid!r} ({spec.name}) does not take this {EFFORT}; choose from: {', '.join(known)}.",
        param=EFFORT,
    )


def take_budget(body: dict[str, Any], spec: ModelSpec) -> Measure:
    """``thinking_budget`` in tokens, out of ``body``: for the template that reads one, else the engine's own limit.

    0 asks for no thinking and -1 for no limit. Any other number is a limit, not a wish to think.
    """
    tokens = body.pop(BUDGET, None)
    if tokens is None:
        return Measure()
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < _UNLIMITED:
        raise InvalidBody(f"{BUDGET} has to be a number of tokens, or -1 for no limit.", param=BUDGET)
    own = spec.thinking.budget
    always = spec.thinking.mode is ThinkingMode.ALWAYS
    if own is None:
        return Measure(None if always or tokens else False, engine={} if tokens < 0 else {ENGINE_BUDGET: tokens})
    number = {0: own.off, _UNLIMITED: own.unlimited}.get(tokens, tokens)
    words = {} if number is None else {own.keyword: number}
    return Measure(False if tokens == 0 and not (always and words) else None, words)


def _is_off(keyword: str, value: str, spec: ModelSpec) -> bool:
    """Whether the family's switch is this very word."""
    return keyword in spec.thinking.keywords and value == spec.thinking.off
