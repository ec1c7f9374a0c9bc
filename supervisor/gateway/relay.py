"""Copies one engine's response to one client: a stream as it comes, anything else when all of it is there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from types import TracebackType

import aiohttp

from supervisor.access.meter import Meter
from supervisor.gateway.engine_errors import translate
from supervisor.gateway.exchange import DisconnectWatch, Exchange, Headers
from supervisor.gateway.request_body import ClientGone
from supervisor.gateway.resume import ResumingStream
from supervisor.gateway.upstream import UpstreamResponse
from xinfer.errors import AuthenticationFailed, EngineLost, EngineTimeout, Unavailable, XinferError
from xinfer.messages import Histogram
from xinfer.settings import GatewaySettings
from xinfer.wire import sse
from xinfer.wire.error_format import ErrorFormat

_log = logging.getLogger("xinfer.gateway")
_UNBUFFERED = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


class Relay:
    """One request's way back. A client that reads slowly slows the reading from the engine, whose server then waits, too."""

    __slots__ = (
        "_client",
        "_ended_by",
        "_exchange",
        "_format",
        "_guard",
        "_inter_token",
        "_last",
        "_last_but_one",
        "_meter",
        "_settings",
    )

    def __init__(
        self,
        settings: GatewaySettings,
        exchange: Exchange,
        client: DisconnectWatch,
        engine_timeout_s: float,
        inter_token: Histogram,
        meter: Meter | None = None,
    ) -> None:
        """A stream that gets nothing from the engine for ``engine_timeout_s`` seconds ends with an error.

        ``inter_token`` takes the seconds between its chunks.
        """
        self._settings = settings
        self._exchange = exchange
        self._client = client
        self._format = ErrorFormat.of(exchange.path)
        self._last = b""
        self._last_but_one = b""
        self._guard = StallGuard(engine_timeout_s, settings.write_timeout_s)
        self._inter_token = inter_token
        self._meter = meter
        self._ended_by: XinferError | None = None

    @property
    def last_pieces(self) -> tuple[bytes, bytes]:
        """The last two chunks of the stream: the one that ends it may be for itself."""
        return self._last_but_one, self._last

    def stop(self) -> None:
        """End the stream with an error event: the cluster is being stopped."""
        self._end(Unavailable("The cluster was stopped in the middle of this response."))

    def revoke(self) -> None:
        """End the stream with an error event: its key is not valid any more."""
        self._end(AuthenticationFailed("The API key was revoked in the middle of this response."))

    def _end(self, error: XinferError) -> None:
        self._ended_by = error
        self._guard.end()

    async def copy(self, response: UpstreamResponse | ResumingStream) -> bool:
        """Send a stream on; whether all of it was sent. A failure is its last event."""
        guard = self._guard
        try:
            async with guard:
                guard.client()
                await self._exchange.send_head(200, [*self._head(response), *_UNBUFFERED])
                await self._pump(response, guard)
        except (aiohttp.ClientError, TimeoutError) as failure:
            if self._ended_by:
                error = self._ended_by
            elif guard.client_is_due:
                raise self._dropped() from None
            else:
                error = _describe(failure)
            _log.warning("request %s: %s after the first byte", self._exchange.request_id, error.code)
            await self._finish(self._last_event(error))
            return False
        await self._finish(b"")
        return True

    async def _pump(self, response: UpstreamResponse | ResumingStream, guard: StallGuard) -> None:
        """The part that runs for every chunk."""
        send = self._exchange.send_piece
        read = response.read
        count = self._meter.feed if self._meter else None
        data = response.first
        if not data:
            guard.engine()
            data = await read()
        guard.client()
        came_at = guard.since
        observe = self._inter_token.observe
        while data:
            guard.client()
            if count:
                count(data)
            await send({"type": "http.response.body", "body": data, "more_body": True})
            guard.engine()
            self._last_but_one = self._last
            self._last = data
            data = await read()
            guard.client()
            if data:
                # The guard has asked the clock already.
                observe(guard.since - came_at)
                came_at = guard.since

    async def pass_whole(self, response: UpstreamResponse, body: bytes) -> None:
        """Send a response of which all is there; one that is an error is raised as ours."""
        if response.status != 200:
            _log.info("request %s: the engine answered %d", self._exchange.request_id, response.status)
            raise translate(response.status, body, self._exchange.request_id)
        if self._meter:
            self._meter.whole(body)
        size = str(len(body)).encode()
        await self._finish(body, [*self._head(response), (b"content-length", size)])

    async def _finish(self, data: bytes, head: Headers = ()) -> None:
        """Send the last piece, or with its ``head`` the only one. What was sent before may still be in its way."""
        self._client.over()
        try:
            async with asyncio.timeout(self._settings.write_timeout_s):
                if head:
                    await self._exchange.send_head(200, head)
                await self._exchange.send_last(data)
        except TimeoutError:
            raise self._dropped() from None

    def _head(self, response: UpstreamResponse | ResumingStream) -> Headers:
        own = list(self._format.headers(self._exchange.request_id).items())
        if self._meter:
            own += self._meter.headers()
        return [(b"content-type", response.content_type.encode()), *((k.encode(), v.encode()) for k, v in own)]

    def _last_event(self, error: XinferError) -> bytes:
        """An SSE event of its own, whatever the bytes before it were cut in."""
        gap = b"" if self._last.endswith(sse.END) else sse.END
        return gap + self._format.event(error, self._exchange.request_id)

    def _dropped(self) -> ClientGone:
        _log.warning("request %s: the client has stopped reading", self._exchange.request_id)
        return ClientGone()


class StallGuard:
    """Raises ``TimeoutError`` out of its block when the engine, or the client, has stood still for its limit in seconds.

    It is told twice per chunk whose turn it is, so that only notes the time; one timer looks at the note and is set again when
    it fires.
    """

    __slots__ = ("_client_s", "_engine_s", "_limit_s", "_loop", "_timeout", "_timer", "client_is_due", "since")

    def __init__(self, engine_s: float, client_s: float) -> None:
        self._engine_s = engine_s
        self._client_s = client_s
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    def engine(self) -> None:
        """From now on it is the engine that is waited for."""
        self.client_is_due = False
        self._limit_s = self._engine_s
        self.since = self._loop.time()

    def client(self) -> None:
        """From now on it is the client that is waited for."""
        self.client_is_due = True
        self._limit_s = self._client_s
        self.since = self._loop.time()

    def end(self) -> None:
        """Raise out of the block now, whoever is waited for."""
        # The response may be over already, but for its last piece.
        with contextlib.suppress(RuntimeError):
            self._timeout.reschedule(self._loop.time())

    async def __aenter__(self) -> StallGuard:
        self._loop = asyncio.get_running_loop()
        await self._timeout.__aenter__()
        self.engine()
        self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, traceback)

    def _look(self) -> None:
        now = self._loop.time()
        due = self.since + self._limit_s
        if now >= due:
            self._timeout.reschedule(now)
            return
        next_look = min(due, now + min(self._engine_s, self._client_s))
        self._timer = self._loop.call_at(next_look, self._look)


def _describe(failure: Exception) -> XinferError:
    if isinstance(failure, TimeoutError):
        return EngineTimeout("The engine stood still for too long in the middle of this response.")
    return EngineLost("The engine went away in the middle of this response.")
