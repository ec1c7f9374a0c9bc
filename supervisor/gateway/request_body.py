"""Request bodies: bounded while they come in, parsed once."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.types import Receive, Scope

from xinfer.errors import BodyTooLarge, InvalidBody

# Digits.
_LONGEST_NUMBER = 18


class ClientGone(Exception):
    """The client left before its request was complete."""


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body; ``BodyTooLarge`` as soon as it is known to exceed the limit, by its header or by what has come."""
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if declared.isdigit() and (len(declared) > _LONGEST_NUMBER or int(declared) > limit_bytes):
        raise _too_large(limit_bytes)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            if len(parts) == 1:
                return parts[0]
            return b"".join(parts)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``, or ``InvalidBody`` with the place where it stops being one."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBody(f"The body is not valid JSON: {_reason(error)}.") from None
    if not isinstance(value, dict):
        raise InvalidBody("The body has to be a JSON object.")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error).removeprefix("JSON is malformed: ")


def _too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than the limit of {limit_bytes} bytes.")
