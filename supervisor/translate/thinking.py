"""Whether, how hard and how long to think: the same fields of a request for every family, in that family's own words.

``enable_thinking`` becomes the switch of the model's chat template, ``reasoning_effort`` and ``thinking_budget`` what the
template or the engine has for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from xinfer.errors import InvalidBody, ThinkingNotSupported
from xinfer.messages import ModelSpec, ThinkingMode

SWITCH = "enable_thinking"
TEMPLATE = "chat_template_kwargs"
EFFORT = "reasoning_effort"
BUDGET = "thinking_budget"
ENGINE_BUDGET = "thinking_token_budget"
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""What vLLM takes at the top level of a request, where it is OpenAI's field."""
_FIELDS = frozenset({SWITCH, TEMPLATE, EFFORT, BUDGET})
_SPELLINGS = (SWITCH, "thinking")
_UNLIMITED = -1


def apply_thinking(body: dict[str, Any], spec: ModelSpec) -> None:
    """Translate the switch, the effort and the budget in ``body``, in place.

    Precedence: ``enable_thinking`` at the top level, then in ``chat_template_kwargs``, then what effort and budget imply, then
    the launch option, then the template's own default. Raises ``ThinkingNotSupported`` for what the family cannot do and
    ``InvalidBody`` for fields that contradict each other.
    """
    says_nothing = body.keys().isdisjoint(_FIELDS) and body.keys().isdisjoint(spec.thinking.variables)
    if spec.enable_thinking is None and says_nothing:
        return
    kwargs = _template_kwargs(body)
    kwargs |= {name: body.pop(name) for name in spec.thinking.variables if name in body}
    effort = _take_effort(body, spec)
    budget = _take_budget(body, spec)
    wish = _agreed({SWITCH: _from_request(body, kwargs), EFFORT: effort.think, BUDGET: budget.think}, spec)
    if wish is None and spec.enable_thinking is not None and not kwargs.keys() & set(spec.thinking.keywords):
        wish = spec.enable_thinking
    words = {} if wish is None else _switch(wish, spec)
    if wish is not False:
        words |= effort.words | budget.words
        body.update(budget.engine)
    _tell(body, kwargs | words)


def check_thinking(wish: bool, spec: ModelSpec, param: str = SWITCH) -> None:
    """``ThinkingNotSupported`` if the family cannot do as wished."""
    mode = spec.thinking.mode
    if mode is ThinkingMode.SWITCH or wish == (mode is ThinkingMode.ALWAYS):
        return
    habit, order = ("never thinks", "on") if wish else ("always thinks", "off")
    raise ThinkingNotSupported(
        f"The model {spec.uid!r} ({spec.name}) {habit}; its thinking cannot be switched {order}.",
        param=param,
    )


def _template_kwargs(body: dict[str, Any]) -> dict[str, Any]:
    """``chat_template_kwargs`` as an object; Xinference's clients may send it as a JSON string."""
    given = body.pop(TEMPLATE, None)
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except (msgspec.DecodeError, RecursionError):
            given = str(given)
    if given is None or isinstance(given, dict):
        return given or {}
    raise InvalidBody(f"{TEMPLATE} has to be a JSON object.", param=TEMPLATE)


def _from_request(body: dict[str, Any], kwargs: dict[str, Any]) -> bool | None:
    """What the request asks for; takes every spelling of it out of ``body`` and ``kwargs``."""
    places = [body.pop(SWITCH, None), *(kwargs.pop(name, None) for name in _SPELLINGS)]
    for value in places:
        if value is not None and not isinstance(value, bool):
            raise InvalidBody(f"{SWITCH} has to be true or false.", param=SWITCH)
    return next((value for value in places if value is not None), None)


def _agreed(wishes: dict[str, bool | None], spec: ModelSpec) -> bool | None:
    """What all fields that say something say."""
    said = {name: wish for name, wish in wishes.items() if wish is not None}
    for name, wish in said.items():
        check_thinking(wish, spec, name)
    if len(set(said.values())) > 1:
        on, off = (next(name for name, wish in said.items() if wish is which) for which in (True, False))
        raise InvalidBody(f"{on} asks for thinking and {off} for none; leave one of them out.", param=off)
    return next(iter(said.values()), None)


def _switch(wish: bool, spec: ModelSpec) -> dict[str, Any]:
    if spec.thinking.mode is not ThinkingMode.SWITCH:
        return {}
    own = dict.fromkeys(spec.thinking.keywords, spec.thinking.on if wish else spec.thinking.off)
    if own.get(EFFORT) in EFFORTS:
        # VLLM derives the rest from this field; Mistral's tokenizer takes no other.
        return own
    # vLLM's reasoning parsers look at this name, whatever the template's is.
    return {SWITCH: wish, **own}


def _tell(body: dict[str, Any], kwargs: dict[str, Any]) -> None:
    """Put the template's variables where the engine takes them: an effort of OpenAI's is a field of the request's own."""
    if kwargs.get(EFFORT) in EFFORTS:
        body[EFFORT] = kwargs.pop(EFFORT)
    if kwargs:
        body[TEMPLATE] = kwargs


@dataclass(slots=True)
class _Measure:
    """What one of the fields comes down to."""

    think: bool | None = None
    """Whether it asks for thinking at all; None if it does not say."""
    words: dict[str, Any] = field(default_factory=dict)
    """Variables of the template, for the case that the model thinks."""
    engine: dict[str, Any] = field(default_factory=dict)
    """Fields of the engine's, for the same case."""


def _take_effort(body: dict[str, Any], spec: ModelSpec) -> _Measure:
    """``reasoning_effort``, out of ``body``; ``InvalidBody`` names the values that the family has.

    A family without degrees of effort thinks, or does not for ``none``, as with vLLM.
    """
    value = body.pop(EFFORT, None)
    if value is None:
        return _Measure()
    own = spec.thinking.effort
    if own and value in own.values:
        return _Measure(think=not _is_off(own.keyword, value, spec), words={own.keyword: value})
    if value == "none" and (own is None or spec.thinking.mode is not ThinkingMode.ALWAYS):
        return _Measure(think=False)
    if own is None and value in EFFORTS:
        return _Measure(think=True)
    known = own.values if own else EFFORTS
    if own and spec.thinking.mode is ThinkingMode.SWITCH and "none" not in known:
        known = ("none", *known)
    raise InvalidBody(
        f"The model {spec.uid!r} ({spec.name}) does not take this {EFFORT}; choose from: {', '.join(known)}.",
        param=EFFORT,
    )


def _take_budget(body: dict[str, Any], spec: ModelSpec) -> _Measure:
    """``thinking_budget`` in tokens, out of ``body``: for the template that reads one, else the engine's own limit.

    0 asks for no thinking and -1 for no limit. Any other number is a limit, not a wish to think.
    """
    tokens = body.pop(BUDGET, None)
    if tokens is None:
        return _Measure()
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < _UNLIMITED:
        raise InvalidBody(f"{BUDGET} has to be a number of tokens, or -1 for no limit.", param=BUDGET)
    own = spec.thinking.budget
    always = spec.thinking.mode is ThinkingMode.ALWAYS
    measure = _Measure()
    if own is None:
        if tokens == 0 and not always:
            measure.think = False
        if tokens >= 0:
            measure.engine = {ENGINE_BUDGET: tokens}
        return measure

    number = {0: own.off, _UNLIMITED: own.unlimited}.get(tokens, tokens)
    if number is not None:
        measure.words = {own.keyword: number}
    if tokens == 0 and not (always and measure.words):
        measure.think = False
    return measure


def _is_off(keyword: str, value: str, spec: ModelSpec) -> bool:
    """Whether the family's switch is this very word."""
    return keyword in spec.thinking.keywords and value == spec.thinking.off
