"""Requests for completions, what comes back, and a client that may stop reading."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
Gateway = Callable[..., Awaitable[httpx.AsyncClient]]
_SMALL = 4096


def chat(content: str = "hello", **fields: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


def text(prompt: str = "hello", **fields: Any) -> dict[str, Any]:
    """The body of a text completion."""
    return {"model": "m", "prompt": prompt, **fields}


def events(body: str) -> list[Any]:
    """The payloads of a stream; ``[DONE]`` stays text."""
    payloads = [line.removeprefix("data: ") for line in body.split("\n\n") if line]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def words(stream: list[Any]) -> str:
    """What the model has said."""
    choices = [choice for event in stream if event != "[DONE]" for choice in event.get("choices", ())]
    return "".join(choice["delta"]["content"] if "delta" in choice else choice["text"] for choice in choices)


@asynccontextmanager
async def raw_client(http: httpx.AsyncClient, body: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A chat request on a connection of its own, with small buffers; whoever does not read what this gives, stops reading."""
    port = http.base_url.port
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=_SMALL)
        try:
            writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (CHAT.encode(), len(body)))
            writer.write(body)
            await writer.drain()
            yield reader
        finally:
            writer.transport.abort()
