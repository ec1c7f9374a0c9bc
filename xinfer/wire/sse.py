"""Server-sent events as engines and supervisors write them: ``data: {json}``, perhaps after ``event: name``, and an empty line.

What reads streams of any server, ``xinfer.client`` and ``xinfer.bench``, takes other line ends and missing spaces as well.
"""

from __future__ import annotations

from typing import Any

import msgspec

DATA = b"data: "
END = b"\n\n"
"""Ends every event."""
DONE = b"data: [DONE]\n\n"
"""The last event of a completion, where nothing went wrong."""
COMMENT = b":\n\n"
"""What every reader of events passes over."""

_encode = msgspec.json.encode


def encode_event(payload: Any, name: bytes | None = None) -> bytes:
    """One event with ``payload`` as JSON."""
    event = DATA + _encode(payload) + END
    if name is None:
        return event
    return b"event: " + name + b"\n" + event


class EventSplitter:
    """Cuts the bytes of a stream into events, however they arrive."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that ``data`` completes, without the empty lines between them; half an event waits for its other half."""
        events = (self._rest + data).split(END)
        self._rest = events.pop()
        return events
