"""Where the reasoning of an answer goes. Each class shapes the messages or deltas of one choice, in place."""

from __future__ import annotations

from typing import Any, Protocol

from xinfer.messages import ReasoningOutput
from xinfer.wire.response_options import ResponseOptions

_FIELD = "reasoning_content"
"""What clients call it; vLLM says ``reasoning``."""


class Shape(Protocol):
    """What becomes of one choice's reasoning. ``content`` is a string afterwards."""

    def delta(self, delta: dict[str, Any], choice: dict[str, Any], /) -> None:
        """Shape the next delta of a stream."""

    def message(self, message: dict[str, Any], choice: dict[str, Any], /) -> None:
        """Shape a whole message."""


class Split:
    """Beside the content, both without the empty lines that a template puts before reasoning and between it and the answer."""

    __slots__ = ("_before_content", "_before_reasoning")

    def __init__(self) -> None:
        self._before_reasoning = True
        self._before_content = False

    def delta(self, delta: dict[str, Any], _choice: dict[str, Any], /) -> None:
        """The answer of a model that did not reason stays as it is."""
        _rename(delta)
        reasoning = delta.get(_FIELD)
        if reasoning:
            self._before_content = True
            if self._before_reasoning:
                delta[_FIELD] = reasoning.lstrip("\n")
                self._before_reasoning = not delta[_FIELD]
        if self._before_content and (content := delta["content"]):
            delta["content"] = content.lstrip("\n")
            self._before_content = not delta["content"]

    def message(self, message: dict[str, Any], _choice: dict[str, Any], /) -> None:
        """As a stream of it would be, and without empty lines at the end of the reasoning."""
        _rename(message)
        if message.get(_FIELD):
            message[_FIELD] = message[_FIELD].strip("\n")
            message["content"] = message["content"].lstrip("\n")


class Omit:
    """Nowhere. What is known of single tokens goes with it, since it would tell the reasoning."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = False

    def delta(self, delta: dict[str, Any], choice: dict[str, Any], /) -> None:
        """Also without the empty lines between reasoning and answer."""
        delta.pop("reasoning", None)
        content = delta.get("content") or ""
        delta["content"] = content if self._begun else content.lstrip("\n")
        self._begun = self._begun or bool(delta["content"])
        for tokens in ("logprobs", "token_ids"):
            if tokens in choice:
                choice[tokens] = None

    message = delta


class Inline:
    """In the content, between the family's tags, whether the model wrote the first one or its template had it in the prompt."""

    __slots__ = ("_end", "_is_open", "_start")

    def __init__(self, start: str, end: str) -> None:
        self._start = start
        self._end = end
        self._is_open: bool | None = None

    def delta(self, delta: dict[str, Any], choice: dict[str, Any], /) -> None:
        """The last tag comes with what follows the reasoning; an answer that was cut off while it thought has none."""
        thought = delta.pop("reasoning", None) or ""
        content = delta.get("content") or ""
        if thought and self._is_open is None:
            self._is_open = True
            thought = self._start + thought
        is_past = content or delta.get("tool_calls") or choice.get("finish_reason") not in (None, "length")
        if self._is_open and is_past:
            self._is_open = False
            thought = thought + self._end
        delta["content"] = thought + content

    message = delta


def _rename(part: dict[str, Any]) -> None:
    reasoning = part.pop("reasoning", None)
    if reasoning is not None:
        part[_FIELD] = reasoning
    if not isinstance(part.get("content"), str):
        part["content"] = ""


def shape_of(options: ResponseOptions) -> Shape:
    """A new shape for one choice of a response with these options."""
    if options.reasoning is ReasoningOutput.OMIT:
        return Omit()
    if options.reasoning is ReasoningOutput.INLINE:
        return Inline(*options.tags)
    return Split()
