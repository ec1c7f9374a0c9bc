"""The tool calls of a stream, kept until they are whole."""

from __future__ import annotations

from typing import Any


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
