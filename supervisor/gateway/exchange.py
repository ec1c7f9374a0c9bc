"""One request for an engine, from Serve's HTTP server to the end of its response, and what stands between the two.

Serve calls ``middlewares`` by its import path, ``xinfer.names.SERVE_MIDDLEWARES``, and puts them around its own handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

from ray import serve
from ray.serve.exceptions import RayServeException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from supervisor.gateway.own_port import OwnPort
from supervisor.gateway.request_body import ClientGone
from supervisor.gateway.serve_ports import listen_at_node
from supervisor.translate.engine_request import match_route
from xinfer.cluster.cluster_secret import guarding_front_secret
from xinfer.errors import NotFound

Headers = Iterable[tuple[bytes, bytes]]

_BYPASS = "xinfer.bypass"
_ROUTES_OF_SERVE = "/-/routes"
_NO_WATCHING = (b"x-request-disconnect-disabled", b"?1")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request whose path is an engine route, and the way back to its client."""

    path: str
    """The engine route."""
    uid_in_path: str | None
    """The model UID, where the path names one."""
    scope: Scope
    receive: Receive
    send: Send
    """For the head and the last piece of a response: Serve counts and logs the request by them."""
    send_piece: Send
    """For the pieces between them: the server's own ``send``."""
    request_id: str

    async def send_head(self, status: int, headers: Headers) -> None:
        """Begin the response."""
        await self.send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def send_last(self, data: bytes) -> None:
        """End the response with the last piece of its body, or the only one."""
        await self.send({"type": "http.response.body", "body": data, "more_body": False})


def open_exchange(scope: Scope, receive: Receive, send: Send, request_id: str) -> Exchange | None:
    """The exchange of a request for an engine; None for any other path."""
    if _BYPASS in scope:
        (path, uid), send_piece = scope[_BYPASS]
        return Exchange(path, uid, scope, receive, send, send_piece, request_id)

    # Without Serve around it, as in tests, nothing wraps the server's ``send``.
    matched = match_route(scope["path"])
    if matched is None:
        return None
    return Exchange(*matched, scope, receive, send, send, request_id)


class DisconnectWatch:
    """Raises ``ClientGone`` out of its block, wherever that waits, as soon as the client has closed its connection."""

    __slots__ = ("_gone", "_receive", "_task", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False

    def over(self) -> None:
        """The last piece of the answer is about to go out: from here on a closed connection is no news."""
        self._watcher.cancel()

    async def __aenter__(self) -> DisconnectWatch:
        task = asyncio.current_task()
        assert task is not None, "a client is watched from inside a task"
        self._task = task
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # And not awaited: all it has left to do is to end.
        self._watcher.cancel()
        if self._gone and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise ClientGone from error

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()


class BypassServe:
    """Keeps Serve off the chunks of a stream.

    Requests for engines watch for disconnects themselves: Serve would run two more tasks and a queue per request, and leave a
    cycle of frames for the garbage collector behind every client that left. And Serve wraps ``send`` twice, only to pass each
    piece on.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, marked if it is for an engine."""
        if scope["type"] == "http":
            matched = match_route(scope["path"])
            if matched is not None:
                scope["headers"] = [*scope["headers"], _NO_WATCHING]
                scope[_BYPASS] = matched, send
        await self._app(scope, receive, send)


class HideRoutes:
    """Keeps Serve from telling its routes to whoever asks; without it they would be told without a key."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with 404 to what Serve would answer itself, and pass everything else on."""
        if scope["type"] == "http" and scope["path"] == _ROUTES_OF_SERVE:
            error = NotFound(f"There is no route {_ROUTES_OF_SERVE!r}.")
            await JSONResponse(error.body(), error.status)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Serve puts around its own handler: in a supervisor, and nearly nothing in its fallback proxy.

    That sends requests on to a supervisor as pickles, for a moment, where HAProxy knows of no supervisor that is up.
    """
    guards: list[Middleware] = []
    secret = guarding_front_secret()
    if secret is not None:
        guards = [Middleware(OwnPort, secret=secret), Middleware(HideRoutes)]
    if is_in_serve():
        listen_at_node()
        return [*guards, Middleware(BypassServe)]
    return guards


def is_in_serve() -> bool:
    """True in a replica of Serve's, which a supervisor is; false in its proxies, and in tests."""
    try:
        serve.get_replica_context()
    except RayServeException:
        return False
    return True
