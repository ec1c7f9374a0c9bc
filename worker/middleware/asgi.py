"""The shapes of ASGI, and the JSON answers that the middleware gives itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

DISCONNECT: Message = {"type": "http.disconnect"}


async def send_json(send: Send, status: int, payload: bytes | Any, headers: Headers | None = None) -> None:
    """A whole JSON answer, already encoded or not; of ``headers``, those that describe another body are left out."""
    if isinstance(payload, bytes):
        body = payload
    else:
        body = msgspec.json.encode(payload)
    kept = [(name, value) for name, value in headers or () if name not in (b"content-length", b"content-type")]
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": kept + own})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request; what there is of it if the client leaves."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)
