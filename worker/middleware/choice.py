"""One choice of a stream, chunk by chunk."""

from __future__ import annotations

from typing import Any

from worker.middleware.reasoning import shape_of
from xinfer.wire.response_options import ResponseOptions


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
