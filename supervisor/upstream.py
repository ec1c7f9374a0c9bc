"""Connections to engines: kept, reused, and closed the moment nobody wants the answer any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from supervisor.requests import EngineRequest
from xinfer.settings import GatewaySettings

_KEEP_IDLE_S = 4.0  # uvicorn closes idle connections after 5 s; closing first avoids writing into one that is closing
_MAX_ERROR_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """The beginning of an engine's answer: its status and first bytes are there, the rest follows."""

    status: int
    content_type: str
    first: bytes
    response: aiohttp.ClientResponse
    settings: GatewaySettings

    @property
    def is_stream(self) -> bool:
        """Whether it consists of server-sent events."""
        return self.content_type.startswith("text/event-stream")

    async def rest(self) -> AsyncIterator[bytes]:
        """What follows ``first``, as it arrives. ``TimeoutError`` if the engine stands still, ``ClientError`` if it is gone."""
        loop = asyncio.get_running_loop()
        content = self.response.content
        async with asyncio.timeout(None) as pause:
            while True:
                pause.reschedule(loop.time() + self.settings.idle_timeout_s)
                data = await content.readany()
                pause.reschedule(None)
                if not data:
                    return
                yield data

    async def whole(self) -> bytes:
        """All of it; the answer of an error is cut after a megabyte."""
        parts, size = [self.first], len(self.first)
        async for data in self.rest():
            parts.append(data)
            size += len(data)
            if self.status != 200 and size > _MAX_ERROR_BYTES:
                break
        return b"".join(parts)


class Upstream:
    """All connections of one supervisor to all engines."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_IDLE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_s),
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    @asynccontextmanager
    async def send(self, address: str, request: EngineRequest) -> AsyncIterator[Answer]:
        """Send ``request`` to the engine at ``address`` and wait for the first bytes of its answer.

        Leaving the context before the answer is read to its end closes the connection, and the engine aborts the request. Raises
        ``aiohttp.ClientError`` or ``TimeoutError``.
        """
        async with asyncio.timeout(self._settings.first_byte_timeout_s) as patience:
            async with self._session.post(
                address + request.path, data=request.body, headers=request.headers
            ) as response:
                first = await response.content.readany()
                patience.reschedule(None)
                kind = response.headers.get("content-type", "application/json")
                yield Answer(response.status, kind, first, response, self._settings)
