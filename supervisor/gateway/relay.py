"""Copies one engine's answer to one client: a stream as it comes, anything else when all of it is there."""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from supervisor.gateway.asgi import Headers, Send, send_body, send_head
from supervisor.gateway.disconnect import DisconnectWatch
from supervisor.gateway.engine_errors import translate
from supervisor.gateway.request_body import ClientGone
from supervisor.gateway.stall import StallGuard
from supervisor.gateway.upstream import Answer
from xinfer.errors import EngineLost, EngineTimeout, XinferError
from xinfer.settings import GatewaySettings
from xinfer.wire.error_format import ErrorFormat

_log = logging.getLogger("ray.serve")
_MAX_ERROR_BYTES = 1024 * 1024
_UNBUFFERED = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


class Relay:
    """One request's way back. A client that reads slowly slows the reading from the engine, whose server then waits, too."""

    __slots__ = ("_client", "_form", "_last", "_request_id", "_send", "_send_piece", "_settings")

    def __init__(
        self,
        settings: GatewaySettings,
        send: Send,
        send_piece: Send,
        client: DisconnectWatch,
        form: ErrorFormat,
        request_id: str,
    ) -> None:
        self._settings = settings
        self._client = client
        self._form = form
        self._request_id = request_id
        self._send = send
        self._send_piece = send_piece
        self._last = b""

    async def carry(self, answer: Answer) -> bool:
        """Send ``answer`` on; whether all of it was sent.

        A failure before the first byte is raised; after it, it is the stream's last event.
        """
        if answer.status == 200 and answer.is_stream:
            return await self._copy(answer)
        await self._pass_whole(answer)
        return True

    async def _copy(self, answer: Answer) -> bool:
        guard = self._guard()
        try:
            async with guard:
                guard.client()
                await send_head(self._send, 200, [*self._head(answer), *_UNBUFFERED])
                await self._pump(answer, guard)
        except (aiohttp.ClientError, TimeoutError) as failure:
            if guard.client_is_due:
                raise self._dropped() from None
            error = _describe(failure)
            _log.warning("request %s: %s after the first byte", self._request_id, error.code)
            await self._finish(self._last_event(error))
            return False
        await self._finish(b"")
        return True

    async def _pump(self, answer: Answer, guard: StallGuard) -> None:
        """The part that runs for every chunk."""
        send = self._send_piece
        read = answer.read
        data = answer.first
        while data:
            guard.client()
            await send({"type": "http.response.body", "body": data, "more_body": True})
            guard.engine()
            self._last = data
            data = await read()

    async def _pass_whole(self, answer: Answer) -> None:
        try:
            async with self._guard():
                body = await _whole(answer)
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise _describe(failure) from failure
        if answer.status != 200:
            _log.info("request %s: the engine answered %d", self._request_id, answer.status)
            raise translate(answer.status, body, self._request_id)
        size = str(len(body)).encode()
        await self._finish(body, [*self._head(answer), (b"content-length", size)])

    async def _finish(self, data: bytes, head: Headers = ()) -> None:
        """Send the last piece, or with its ``head`` the only one. What was sent before may still be in its way."""
        self._client.over()
        try:
            async with asyncio.timeout(self._settings.write_timeout_s):
                if head:
                    await send_head(self._send, 200, head)
                await send_body(self._send, data, more=False)
        except TimeoutError:
            raise self._dropped() from None

    def _head(self, answer: Answer) -> Headers:
        own = self._form.headers(self._request_id)
        return [(b"content-type", answer.content_type.encode()), *((k.encode(), v.encode()) for k, v in own.items())]

    def _last_event(self, error: XinferError) -> bytes:
        """An SSE event of its own, whatever the bytes before it were cut in."""
        gap = b"" if self._last.endswith(b"\n\n") else b"\n\n"
        return gap + self._form.event(error, self._request_id)

    def _dropped(self) -> ClientGone:
        _log.warning("request %s: the client has stopped reading", self._request_id)
        return ClientGone()

    def _guard(self) -> StallGuard:
        return StallGuard(self._settings.idle_timeout_s, self._settings.write_timeout_s)


async def _whole(answer: Answer) -> bytes:
    """All of it; that of an error is cut after a megabyte."""
    parts = [answer.first]
    size = len(answer.first)
    while not answer.at_end and (data := await answer.read()):
        parts.append(data)
        size += len(data)
        if answer.status != 200 and size > _MAX_ERROR_BYTES:
            break
    if len(parts) == 1:
        return parts[0]
    return b"".join(parts)


def _describe(failure: Exception) -> XinferError:
    if isinstance(failure, TimeoutError):
        return EngineTimeout("The engine stood still for too long in the middle of this answer.")
    return EngineLost("The engine went away in the middle of this answer.")
