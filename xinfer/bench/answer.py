"""Reads what a server answered, after it has all come: while it comes, nothing but the clock is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Piece = tuple[float, bytes]
"""Bytes of a stream and when they came."""

_TEXTS = ("content", "reasoning_content", "reasoning", "tool_calls")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, whole or from a stream."""

    content_s: tuple[float, ...] = ()
    finished: bool = False
    """Whether it says why it ends, as every whole answer does."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    """The event that told of an error."""


def read_whole(content: bytes) -> Answer:
    """The answer to a request that did not stream."""
    reply = _json(content)
    return Answer(
        finished=_finishes(reply), usage=reply.get("usage") or {}, error=reply if reply.get("error") else None
    )


def read_stream(pieces: Iterable[Piece]) -> Answer:
    """The answer in a stream. Only its first and its last events are parsed; those between are taken to hold content."""
    events = list(_events(pieces))
    first = next((place for place, (_, event) in enumerate(events) if _has_content(_json(event))), len(events))
    end, tail = _tail(events, first)
    return Answer(
        content_s=tuple(at for at, _ in events[first:end]),
        finished=any(_finishes(event) for event in tail),
        usage=next((event["usage"] for event in tail if event.get("usage")), {}),
        error=next((event for event in tail if event.get("error")), None),
    )


def _events(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Whole events, each with the time of its last byte; comments are left out."""
    rest = b""
    at = 0.0
    for at, piece in pieces:
        *whole, rest = (rest + piece.replace(b"\r", b"")).split(b"\n\n")
        yield from ((at, event) for event in whole if event.startswith(b"data:"))
    if rest.startswith(b"data:"):
        yield at, rest


def _tail(events: Sequence[Piece], first: int) -> tuple[int, list[dict[str, Any]]]:
    """Where the events with content end, and what follows, the last of them included."""
    tail: list[dict[str, Any]] = []
    for end in range(len(events), 0, -1):
        tail.append(_json(events[end - 1][1]))
        if _has_content(tail[-1]):
            return end, tail
    return first, tail


def _json(event: bytes) -> dict[str, Any]:
    try:
        value = json.loads(event.removeprefix(b"data:"))
    except ValueError:
        return {}
    if isinstance(value, dict):
        return value
    return {}


def _has_content(event: Mapping[str, Any]) -> bool:
    return any(
        choice.get("text") or any((choice.get("delta") or {}).get(name) for name in _TEXTS)
        for choice in event.get("choices") or ()
    )


def _finishes(event: Mapping[str, Any]) -> bool:
    return any(choice.get("finish_reason") for choice in event.get("choices") or ())
