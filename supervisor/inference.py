"""The data plane: one request to one engine, bytes both ways."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from supervisor.asgi import Receive, Scope, Send, send_body, send_head
from supervisor.balancer import Balancer
from supervisor.body import parse_object, read_body
from supervisor.engine_errors import translate
from supervisor.requests import EngineRequest, model_uid, prepare
from supervisor.routes import Routes
from supervisor.upstream import Answer, Upstream
from xinfer.errors import EngineLost, EngineTimeout, Unavailable, XinferError
from xinfer.messages import ReplicaReport
from xinfer.settings import GatewaySettings

_log = logging.getLogger("ray.serve")
_ATTEMPTS = 2


class Inference:
    """Carries completions: finds the model, picks a replica, copies the answer as it comes."""

    def __init__(self, settings: GatewaySettings, routes: Routes, upstream: Upstream) -> None:
        self._settings, self._routes, self._upstream = settings, routes, upstream
        self._balancer = Balancer(settings.max_connections_per_replica)

    async def serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        """Answer one request. A failure before the first byte is raised; after it, it is the stream's last event."""
        raw = await read_body(scope, receive, self._settings.max_body_bytes)
        body = parse_object(raw)
        uid = model_uid(body)
        route, targets = self._routes.targets(uid)
        request = prepare(scope["path"], raw, body, route.spec)
        work = asyncio.ensure_future(self._carry(uid, targets, request, send, request_id))
        gone = asyncio.ensure_future(_until_disconnect(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

    async def _carry(
        self, uid: str, targets: list[ReplicaReport], request: EngineRequest, send: Send, request_id: str
    ) -> None:
        async with self._ask(uid, targets, request) as answer:
            if answer.status == 200 and answer.is_stream:
                await self._copy(answer, send, request_id)
                return
            try:
                body = await answer.whole()
            except (aiohttp.ClientError, TimeoutError) as failure:
                raise _describe(failure) from failure
            if answer.status != 200:
                _log.info("request %s: the engine of %s answered %d", request_id, uid, answer.status)
                raise translate(answer.status, body, request_id)
            size = str(len(body)).encode()
            await send_head(send, 200, [(b"content-type", answer.content_type.encode()), (b"content-length", size)])
            await send_body(send, body, more=False)

    async def _copy(self, answer: Answer, send: Send, request_id: str) -> None:
        unbuffered = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        await send_head(send, 200, [(b"content-type", answer.content_type.encode()), *unbuffered])
        await send_body(send, answer.first, more=True)
        last = answer.first
        try:
            async for data in answer.rest():
                last = data
                await send_body(send, data, more=True)
        except (aiohttp.ClientError, TimeoutError) as failure:
            error = _describe(failure)
            _log.warning("request %s: %s after the first byte", request_id, error.code)
            await send_body(send, _last_event(error, last), more=False)
        else:
            await send_body(send, b"", more=False)

    @asynccontextmanager
    async def _ask(self, uid: str, targets: list[ReplicaReport], request: EngineRequest) -> AsyncIterator[Answer]:
        """The beginning of the answer of some replica; one that is not there costs a second attempt, never a third."""
        avoid: set[str] = set()
        for _ in range(_ATTEMPTS):
            replica = self._balancer.pick(targets, avoid)
            self._balancer.begin(replica)
            began = False
            try:
                async with self._upstream.send(str(replica.address), request) as answer:
                    began = True
                    yield answer
                    return
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as failure:
                if began:
                    raise
                avoid.add(replica.replica)
                if isinstance(failure, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
                    self._routes.suspect(uid, replica)
                    targets = [target for target in targets if target is not replica]
                if not targets:
                    break
            except TimeoutError:
                if began:
                    raise
                raise EngineTimeout(
                    f"The engine of {uid!r} did not begin to answer in time.", retry_after_s=5
                ) from None
            finally:
                self._balancer.end(replica)
        raise Unavailable(f"No replica of the model {uid!r} took the request.", retry_after_s=2)


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _describe(failure: Exception) -> XinferError:
    if isinstance(failure, TimeoutError):
        return EngineTimeout("The engine stood still for too long in the middle of this answer.")
    return EngineLost("The engine went away in the middle of this answer.")


def _last_event(error: XinferError, last: bytes) -> bytes:
    """An SSE event of its own, whatever the bytes before it were cut in."""
    gap = b"" if last.endswith(b"\n\n") else b"\n\n"
    return gap + b"data: " + msgspec.json.encode(error.body()) + b"\n\n"
