"""One choice of a response: its content, its reasoning, which has three places to go, and its tool calls."""

from __future__ import annotations

from typing import Any, Protocol

from xinfer.messages import ReasoningOutput
from xinfer.wire.response_options import ResponseOptions

_FIELD = "reasoning_content"
"""What clients call it; vLLM says ``reasoning``."""


class Choice:
    """Shapes the deltas of one choice and knows whether it has finished."""

    __slots__ = ("_calls", "_chat", "_index", "_shape", "finished")

    def __init__(self, index: int, options: ResponseOptions, *, chat: bool) -> None:
        self._index = index
        self._chat = chat
        self._shape = shape_of(options).delta
        self._calls = ToolCalls() if options.whole_tool_calls else None
        self.finished = False

    def reshape(self, choice: dict[str, Any]) -> bool:
        """Bring the next piece into shape, in place; False if nothing is left of it that has to go out."""
        if choice.get("finish_reason"):
            self.finished = True
        if not self._chat:
            return True
        delta = choice["delta"]
        calls = "tool_calls" in delta
        may_vanish = calls or "reasoning" in delta
        self._shape(delta, choice)
        if self._calls is not None:
            if calls:
                self._calls.take(delta)
            if self.finished:
                self._calls.give(delta)
        return not may_vanish or self.finished or _says(delta, choice)

    def end(self, reason: str) -> dict[str, Any]:
        """The piece that finishes it for ``reason``."""
        self.finished = True
        rest: dict[str, Any] = {"delta": {"content": ""}} if self._chat else {"text": ""}
        return {"index": self._index, **rest, "logprobs": None, "finish_reason": reason}


def _says(delta: dict[str, Any], choice: dict[str, Any]) -> bool:
    """Whether there is more in it than the fields that are always there."""
    return bool(
        delta["content"]
        or delta.get("reasoning_content")
        or delta.get("tool_calls")
        or "role" in delta
        or choice.get("logprobs")
        or choice.get("token_ids")
    )


class ToolCalls:
    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, Any]] = {}

    def take(self, delta: dict[str, Any]) -> None:
        """Take the pieces of calls out of ``delta``."""
        for piece in delta.pop("tool_calls") or ():
            call = self._calls.setdefault(piece.get("index", 0), {"type": "function", "name": "", "arguments": []})
            function = piece.get("function") or {}
            call["id"] = piece.get("id") or call.get("id")
            call["name"] = function.get("name") or call["name"]
            call["arguments"].append(function.get("arguments") or "")

    def give(self, delta: dict[str, Any]) -> None:
        """Put the calls, each in one piece, into ``delta``; no field at all if there are none."""
        if self._calls:
            delta["tool_calls"] = [_whole(index, call) for index, call in sorted(self._calls.items())]


def _whole(index: int, call: dict[str, Any]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": "".join(call["arguments"])}
    return {"index": index, "id": call["id"], "type": call["type"], "function": function}


def shape_of(options: ResponseOptions) -> Shape:
    """A new shape for one choice of a response with these options."""
    if options.reasoning is ReasoningOutput.OMIT:
        return Omit()
    if options.reasoning is ReasoningOutput.INLINE:
        return Inline(*options.tags)
    return Split()


class Shape(Protocol):
    """What becomes of one choice's reasoning, in place. ``content`` is a string afterwards."""

    def delta(self, delta: dict[str, Any], choice: dict[str, Any], /) -> None:
        """Shape the next delta of a stream."""

    def message(self, message: dict[str, Any], choice: dict[str, Any], /) -> None:
        """Shape a whole message."""


class Split:
    """Beside the content, both without the empty lines that a template puts before reasoning and between it and the answer."""

    __slots__ = ("_before_content", "_before_reasoning", "_held")

    def __init__(self) -> None:
        self._before_reasoning = True
        self._before_content = False
        self._held = ""

    def delta(self, delta: dict[str, Any], _choice: dict[str, Any], /) -> None:
        """The answer of a model that did not reason stays as it is."""
        _rename(delta)
        reasoning = delta.get(_FIELD)
        if reasoning:
            self._before_content = True
            if self._before_reasoning:
                reasoning = reasoning.lstrip("\n")
                self._before_reasoning = not reasoning
            # Ends of lines wait for more reasoning: those at its very end go nowhere, as in a whole message.
            reasoning = self._held + reasoning
            delta[_FIELD] = reasoning.rstrip("\n")
            self._held = reasoning[len(delta[_FIELD]) :]
        if self._before_content and (content := delta["content"]):
            delta["content"] = content.lstrip("\n")
            self._before_content = not delta["content"]

    def message(self, message: dict[str, Any], _choice: dict[str, Any], /) -> None:
        """As a stream of it would be."""
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
