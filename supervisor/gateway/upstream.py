"""Connections to engines: kept, reused, and closed the moment nobody wants the answer any more."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import aiohttp
from yarl import URL

from supervisor.translate.engine_request import EngineRequest
from xinfer.settings import GatewaySettings
from xinfer.wire.paths import ENGINE_SECRET

# Uvicorn closes idle connections after 5 s; closing first avoids writing into one that is closing.
_KEEP_IDLE_S = 4.0
# Aiohttp warns of a larger body in one piece, which would hold the loop up.
_LARGE_BYTES = 1024 * 1024
_MAX_ERROR_BYTES = 1024 * 1024
_NO_HEADERS: Mapping[str, str] = {}
# A machine that is lost, or the way to it, says nothing. Without these a request would wait for its first byte in vain.
_SILENT_S = 6
_KEEPALIVE = {
    socket.TCP_KEEPIDLE: 2,
    socket.TCP_KEEPINTVL: 1,
    socket.TCP_KEEPCNT: 4,
    socket.TCP_USER_TIMEOUT: _SILENT_S * 1000,
}
_url = lru_cache(maxsize=4096)(URL)


def _watched_socket(address: tuple[Any, ...]) -> socket.socket:
    """One that the kernel closes when the other side's kernel has not answered for some seconds; a busy engine's still does."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


@dataclass(frozen=True, slots=True)
class UpstreamResponse:
    """The beginning of an engine's response: its status and first bytes are there, the rest follows."""

    status: int
    content_type: str
    first: bytes
    response: aiohttp.ClientResponse

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of server-sent events; an error is none, whatever its type."""
        return self.status == 200 and self.content_type.startswith("text/event-stream")

    @property
    def at_end(self) -> bool:
        """Whether it is known that nothing more comes."""
        return self.response.content.at_eof()

    @property
    def read(self) -> Callable[[], Awaitable[bytes]]:
        """Gives what has arrived since, or arrives next; empty at the end. Raises ``aiohttp.ClientError`` if the engine is gone.

        While nobody reads, at most 128 KiB are taken from the connection.
        """
        return self.response.content.readany

    async def read_whole(self, idle_timeout_s: float) -> bytes:
        """All of it; of an error the first megabyte.

        Raises ``aiohttp.ClientError`` if the engine is gone and ``TimeoutError`` if nothing came for so many seconds.
        """
        parts = [self.first]
        size = len(self.first)
        while not self.at_end:
            async with asyncio.timeout(idle_timeout_s):
                data = await self.read()
            parts.append(data)
            size += len(data)
            if not data or (self.status != 200 and size > _MAX_ERROR_BYTES):
                break
        if len(parts) == 1:
            return parts[0]
        return b"".join(parts)

    def close(self) -> None:
        """Be done with it: before its end the connection is closed, and the engine aborts the request."""
        self.response.close()


class Upstream:
    """All connections of one supervisor to all engines."""

    def __init__(self, settings: GatewaySettings, secret: str | None = None) -> None:
        """``secret`` is what the engines want to see, if anything."""
        self._settings = settings
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make the connection pool, which belongs to the running event loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_IDLE_S, socket_factory=_watched_socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_timeout_s),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            headers={ENGINE_SECRET: self._secret} if self._secret else None,
        )

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def send(
        self, address: str, request: EngineRequest, more_headers: Mapping[str, str] = _NO_HEADERS
    ) -> UpstreamResponse:
        """Send ``request`` to the engine at ``address`` and wait for the first bytes of its answer, which the caller closes.

        Raises ``aiohttp.ClientError`` or ``TimeoutError``.
        """
        assert self._session is not None, "the upstream was not started"
        async with asyncio.timeout(self._settings.first_byte_timeout_s):
            body: bytes | io.BytesIO
            if len(request.body) < _LARGE_BYTES:
                body = request.body
            else:
                body = io.BytesIO(request.body)
            headers = {**request.headers, **more_headers}
            response = await self._session.post(_url(address + request.path), data=body, headers=headers)
            try:
                first = await response.content.readany()
            except BaseException:
                response.close()
                raise
        kind = response.headers.get("content-type", "application/json")
        return UpstreamResponse(response.status, kind, first, response)
