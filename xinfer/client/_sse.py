"""Server-sent events as this API sends them: one line ``data: {json}`` per event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from xinfer.client._responses import error_of_event, garbled


class EventReader:
    """Splits bytes, however they arrive, into events. Each is returned as soon as its line is complete."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The events that ``data`` completes. An event that is an error is raised."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return self._events(lines)

    def end(self) -> Iterator[dict[str, Any]]:
        """The event in a last line that had no line break."""
        lines = [self._rest]
        self._rest = b""
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> Iterator[dict[str, Any]]:
        for line in lines:
            event = _event(line.strip())
            if event is None:
                continue
            if event.get("error") is not None:
                raise error_of_event(event)
            yield event


def _event(line: bytes) -> dict[str, Any] | None:
    """The event in a line; None for blank lines, comments, other fields and ``[DONE]``."""
    if not line.startswith(b"data:"):
        return None
    payload = line[len(b"data:") :].strip()
    if not payload or payload == b"[DONE]":
        return None
    try:
        event = json.loads(payload)
    except ValueError:
        raise garbled() from None
    if not isinstance(event, dict):
        raise garbled()
    return event
