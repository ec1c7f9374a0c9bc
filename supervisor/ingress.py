"""What stands between Serve's HTTP server and the application: Serve calls ``middlewares`` by its name in ``xinfer.names``."""

from __future__ import annotations

from starlette.middleware import Middleware

from supervisor.asgi import App, Receive, Scope, Send
from supervisor.requests import DATA_PLANE

_NO_WATCHING = (b"x-request-disconnect-disabled", b"?1")


class OwnDisconnects:
    """Tells Serve that completions watch their clients themselves.

    Serve would otherwise run two more tasks and a queue per request, and leave a cycle of frames for the garbage collector
    behind every client that left.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, marked if it is a completion."""
        if scope["type"] == "http" and scope["path"] in DATA_PLANE:
            scope["headers"] = [*scope["headers"], _NO_WATCHING]
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Serve puts around its own handler."""
    return [Middleware(OwnDisconnects)]
