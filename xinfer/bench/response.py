"""Parses what a server responded, and says what was wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xinfer import errors
from xinfer.bench.sample import Failure

Piece = tuple[float, bytes]
"""Bytes of a stream and when they came."""

_CONTENT_FIELDS = ("content", "reasoning_content", "reasoning", "tool_calls")


@dataclass(frozen=True, slots=True)
class InferenceResponse:
    """The body of a response, whole or streamed."""

    content_s: tuple[float, ...] = ()
    """When each event with content came; empty for a whole response."""
    finished: bool = False
    """Whether it has a ``finish_reason``, as every whole response does."""
    usage: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    """The last event with an error."""


def parse_whole(content: bytes) -> InferenceResponse:
    """The response to a request that did not stream."""
    body = _parse_object(content)
    error = None
    if body.get("error"):
        error = body
    return InferenceResponse(finished=_finishes(body), usage=body.get("usage") or {}, error=error)


def parse_stream(pieces: Iterable[Piece]) -> InferenceResponse:
    """The response in a stream."""
    events = list(_events(pieces))
    # Only the events at both ends are parsed; all between them are taken to have content. On a machine with few
    # cores the generator takes its CPU time from the server that it measures.
    first = _first_with_content(events)
    end, tail = _tail(events, first)
    usage: Mapping[str, Any] = {}
    error = None
    for event in tail:
        usage = usage or event.get("usage") or {}
        if event.get("error") and error is None:
            error = event
    content_s = tuple(at for at, _ in events[first:end])
    return InferenceResponse(content_s, any(map(_finishes, tail)), usage, error)


def failure_of_status(status: int, content: bytes) -> Failure:
    """Of a response whose status is not 200."""
    body = parse_json(content)
    error = errors.from_response(status, body)
    # An extension of vLLM's that is sent by default, so the message names the option that leaves it out.
    if status in (400, 422) and "ignore_eos" in error.message:
        step = "with `xinfer bench --no-ignore-eos` answers are as long as the model likes."
        return Failure("400 ignore_eos", errors.BadRequest(f"The server does not take `ignore_eos`; {step}"))
    return Failure(f"{status} {_error_code(body, error.code)}", error)


def failure_of_response(response: InferenceResponse) -> Failure | None:
    """Of a response with status 200 that has an error in it or ends early; None if it is complete."""
    if response.error is not None:
        error = errors.from_response(_error_status(response.error), response.error)
        return Failure(_error_code(response.error, error.code), error)
    if not response.finished:
        return Failure("unfinished", errors.EngineLost("A stream ended without a finish_reason."))
    return None


def parse_json(content: bytes) -> Any:
    """None if it is not JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def _events(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Whole events, each with the time of its last byte; comments are left out."""
    rest = b""
    at = 0.0
    for at, piece in pieces:
        # A "\r\n" may be cut in two between pieces; without "\r" both kinds of line ends are one.
        *whole, rest = (rest + piece.replace(b"\r", b"")).split(b"\n\n")
        for event in whole:
            if event.startswith(b"data:"):
                yield at, event
    # The last event of a connection that broke has no empty line after it.
    if rest.startswith(b"data:"):
        yield at, rest


def _first_with_content(events: Sequence[Piece]) -> int:
    """The index of the first event with content; the number of events if none has any."""
    for index, (_, event) in enumerate(events):
        if _has_content(_parse_object(event)):
            return index
    return len(events)


def _tail(events: Sequence[Piece], first: int) -> tuple[int, list[dict[str, Any]]]:
    """Where the events with content end, and the events from the last of these on, parsed and reversed."""
    tail: list[dict[str, Any]] = []
    for end in range(len(events), 0, -1):
        event = _parse_object(events[end - 1][1])
        tail.append(event)
        if _has_content(event):
            return end, tail
    return first, tail


def _parse_object(event: bytes) -> dict[str, Any]:
    """The JSON object in an event or a body; empty if there is none."""
    value = parse_json(event.removeprefix(b"data:"))
    if isinstance(value, dict):
        return value
    return {}


def _has_content(event: Mapping[str, Any]) -> bool:
    for choice in event.get("choices") or ():
        delta = choice.get("delta") or {}
        if choice.get("text") or any(map(delta.get, _CONTENT_FIELDS)):
            return True
    return False


def _finishes(event: Mapping[str, Any]) -> bool:
    return any(choice.get("finish_reason") for choice in event.get("choices") or ())


def _error_status(body: Mapping[str, Any]) -> int:
    """The HTTP status in an error event, which has no other; 500 if its ``code`` is none."""
    error = body["error"]
    if isinstance(error, dict) and isinstance(error.get("code"), int):
        return int(error["code"])
    return 500


def _error_code(body: Any, default: str) -> str:
    """The server's own ``code`` of the error, or its ``type`` where ``code`` only repeats the HTTP status."""
    if not isinstance(body, dict) or not isinstance(body.get("error"), dict):
        return default
    for name in ("code", "type"):
        value = body["error"].get(name)
        if isinstance(value, str) and value:
            return value
    return default
