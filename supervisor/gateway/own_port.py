"""The port on which a supervisor, or Serve's own proxy, listens itself, behind HAProxy."""

from __future__ import annotations

import hmac

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from xinfer.errors import PermissionRefused
from xinfer.names import FRONT_SECRET

_HEADER = FRONT_SECRET.encode()
_OPEN = frozenset({"/-/healthz", "/metrics/supervisor", "/metrics/haproxy"})
"""For HAProxy's checks, and for Prometheus, which has to ask each supervisor for itself and shows a key."""


class OwnPort:
    """Answers what has come through HAProxy, which shows ``secret``.

    HAProxy may speak TLS, and this port does not: a client that found it would send its key and its prompts in clear.
    """

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan" or self._admits(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            error = PermissionRefused("This is not the port of the API: use the one that `xinfer start` shows.")
            await JSONResponse(error.body(), error.status, error.headers())(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    def _admits(self, scope: Scope) -> bool:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in _OPEN:
            return True
        shown = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        return hmac.compare_digest(shown, self._secret)
