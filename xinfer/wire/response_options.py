"""How the engine's middleware is to rewrite one response: both ends of the headers that say so.

The middleware never reads a request's body. So the supervisor, which does, takes these options out of it and sends them as
headers of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote

import msgspec

from xinfer.messages import ReasoningOutput

_USAGE = "x-xinfer-usage"
_MERGED = "merged"
_REASONING = "x-xinfer-reasoning"
_OMIT = "omit"
_TOOL_CALLS = "x-xinfer-tool-calls"
_INCREMENTAL = "incremental"
_REQUEST_ID = "x-xinfer-request-id"
_TAGS = ("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """Options of one request. The defaults are those of a request that has none of the headers."""

    merge_usage: bool = False
    """Put the token counts on the chunk that finishes a stream, not on a chunk of their own."""
    whole_tool_calls: bool = True
    """Send each tool call of a stream in one piece, on the chunk that finishes its choice."""
    reasoning: ReasoningOutput = ReasoningOutput.SPLIT
    tags: tuple[str, str] = _TAGS
    """Around the reasoning, for ``ReasoningOutput.INLINE``."""
    request_id: str | None = None
    """The caller's own id of the request, under which it can be aborted."""

    def to_headers(self) -> dict[str, str]:
        """One header for each option that differs from its default; ids and tags are percent-encoded."""
        headers: dict[str, str] = {}
        if self.merge_usage:
            headers[_USAGE] = _MERGED
        if not self.whole_tool_calls:
            headers[_TOOL_CALLS] = _INCREMENTAL

        if self.reasoning is ReasoningOutput.OMIT:
            headers[_REASONING] = _OMIT
        elif self.reasoning is ReasoningOutput.INLINE:
            headers[_REASONING] = quote(msgspec.json.encode(self.tags).decode())

        if self.request_id is not None:
            headers[_REQUEST_ID] = quote(self.request_id, safe="")
        return headers

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[bytes, bytes]]) -> ResponseOptions:
        """The options in a request's ASGI headers."""
        named = dict(headers)
        reasoning, tags = _read_reasoning(named.get(_REASONING.encode()))
        given_id = named.get(_REQUEST_ID.encode())
        request_id = None
        if given_id is not None:
            request_id = unquote(given_id.decode())

        return cls(
            merge_usage=named.get(_USAGE.encode()) == _MERGED.encode(),
            whole_tool_calls=named.get(_TOOL_CALLS.encode()) != _INCREMENTAL.encode(),
            reasoning=reasoning,
            tags=tags,
            request_id=request_id,
        )


def _read_reasoning(value: bytes | None) -> tuple[ReasoningOutput, tuple[str, str]]:
    if value is None:
        return ReasoningOutput.SPLIT, _TAGS
    if value == _OMIT.encode():
        return ReasoningOutput.OMIT, _TAGS
    return ReasoningOutput.INLINE, msgspec.json.decode(unquote(value.decode()), type=tuple[str, str])
