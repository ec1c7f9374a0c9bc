"""One choice of a stream, chunk by chunk."""

from __future__ import annotations

from typing import Any

from worker.middleware.tool_calls import ToolCalls
from worker.middleware.wishes import Wishes


class Choice:
    """Shapes the deltas of one choice and knows whether it has finished."""

    __slots__ = ("_calls", "_chat", "_index", "_shape", "finished")

    def __init__(self, index: int, wishes: Wishes, *, chat: bool) -> None:
        self._index = index
        self._chat = chat
        self._shape = wishes.reasoning().delta
        self._calls = ToolCalls() if wishes.whole_calls else None
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
