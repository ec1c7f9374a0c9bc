"""What stands between Serve's HTTP server and the application: Serve calls ``middlewares`` by its name in ``xinfer.names``."""

from __future__ import annotations

from starlette.middleware import Middleware

from supervisor.gateway.asgi import App, Receive, Scope, Send
from supervisor.translate.engine_request import match_route

_NO_WATCHING = (b"x-request-disconnect-disabled", b"?1")
_SERVERS_SEND = "xinfer.servers_send"


class BypassServe:
    """Takes Serve's work off completions, where it would be done for every chunk or for nothing.

    They watch their clients themselves: Serve would run two more tasks and a queue per request, and leave a cycle of frames
    for the garbage collector behind every client that left. And the server's own ``send`` is kept for the pieces of a stream,
    which Serve's wrappers around it only pass on.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, marked if it is a completion."""
        if scope["type"] == "http" and match_route(scope["path"]):
            scope["headers"] = [*scope["headers"], _NO_WATCHING]
            scope[_SERVERS_SEND] = send
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Serve puts around its own handler."""
    return [Middleware(BypassServe)]


def servers_send(scope: Scope, send: Send) -> Send:
    """The ``send`` for pieces of a body between its head and its last one; ``send`` itself where nothing was put around it."""
    found: Send = scope.get(_SERVERS_SEND, send)
    return found
