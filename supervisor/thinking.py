"""One switch for every family: ``enable_thinking`` in a request becomes what the model's chat template knows."""

from __future__ import annotations

from typing import Any

import msgspec

from xinfer.errors import InvalidBody, ThinkingNotSupported
from xinfer.messages import ModelSpec, ThinkingMode

_SPELLINGS = ("enable_thinking", "thinking")


def apply_thinking(body: dict[str, Any], spec: ModelSpec) -> bool:
    """Translate the switch in ``body``, in place; returns whether anything changed.

    Precedence: ``enable_thinking`` at the top level, then inside a literal ``extra_body``, then ``chat_template_kwargs``, then
    the launch option, then the template's own default. Raises ``ThinkingNotSupported`` for what the family cannot do.
    """
    touched = any(name in body for name in ("enable_thinking", "extra_body", "chat_template_kwargs"))
    kwargs = _template_kwargs(body)
    wish = _from_request(body, kwargs)
    if wish is not None:
        check_thinking(wish, spec)
        kwargs.update(_switch(wish, spec))
    elif spec.enable_thinking is not None and not kwargs.keys() & set(spec.thinking.keywords):
        kwargs = {**_switch(spec.enable_thinking, spec), **kwargs}
    if kwargs:
        body["chat_template_kwargs"] = kwargs
    return touched or bool(kwargs)


def _template_kwargs(body: dict[str, Any]) -> dict[str, Any]:
    """``chat_template_kwargs`` as an object; Xinference's clients may send it as a JSON string."""
    given = body.pop("chat_template_kwargs", None)
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except (msgspec.DecodeError, RecursionError):
            given = str(given)
    if given is None or isinstance(given, dict):
        return given or {}
    raise InvalidBody("chat_template_kwargs has to be a JSON object.", param="chat_template_kwargs")


def _from_request(body: dict[str, Any], kwargs: dict[str, Any]) -> bool | None:
    """What the request asks for; takes every spelling of it out of ``body`` and ``kwargs``."""
    extra = body.get("extra_body")
    inside = extra.pop("enable_thinking", None) if isinstance(extra, dict) else None
    places = [body.pop("enable_thinking", None), inside, *(kwargs.pop(name, None) for name in _SPELLINGS)]
    for value in places:
        if value is not None and not isinstance(value, bool):
            raise InvalidBody("enable_thinking has to be true or false.", param="enable_thinking")
    return next((value for value in places if value is not None), None)


def check_thinking(wish: bool, spec: ModelSpec) -> None:
    """``ThinkingNotSupported`` if the family cannot do as wished."""
    mode = spec.thinking.mode
    if mode is ThinkingMode.SWITCH or wish == (mode is ThinkingMode.ALWAYS):
        return
    habit, order = ("never thinks", "on") if wish else ("always thinks", "off")
    raise ThinkingNotSupported(
        f"The model {spec.uid!r} ({spec.name}) {habit}; its thinking cannot be switched {order}.",
        param="enable_thinking",
    )


def _switch(wish: bool, spec: ModelSpec) -> dict[str, Any]:
    if spec.thinking.mode is not ThinkingMode.SWITCH:
        return {}
    own = dict.fromkeys(spec.thinking.keywords, spec.thinking.on if wish else spec.thinking.off)
    return {"enable_thinking": wish, **own}  # vLLM's reasoning parsers look at this name, whatever the template's is
