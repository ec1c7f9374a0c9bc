"""Sending responses on raw ASGI (``asgi.readthedocs.io``, HTTP connection scope)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from starlette.types import Send

Headers = Iterable[tuple[bytes, bytes]]


async def send_head(send: Send, status: int, headers: Headers) -> None:
    """The status line and headers of an answer."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def send_body(send: Send, body: bytes, *, more: bool) -> None:
    """A piece of the answer's body."""
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def send_json(send: Send, status: int, payload: Any, headers: dict[str, str] | None = None) -> None:
    body = json.dumps(payload, ensure_ascii=False).encode()
    named = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    await send_head(send, status, [(name.encode(), value.encode()) for name, value in named.items()])
    await send_body(send, body, more=False)
