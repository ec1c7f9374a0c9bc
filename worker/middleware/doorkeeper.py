"""Who may use an engine: the supervisors and the workers of its own cluster, who know the cluster's secret."""

from __future__ import annotations

import hmac

from starlette.types import Scope, Send

from worker.middleware.asgi import send_json
from xinfer.errors import AuthenticationFailed
from xinfer.wire.paths import ENGINE_SECRET

_HEADER = ENGINE_SECRET.encode()
_OPEN = frozenset({"/health", "/metrics", "/fake/state"})
"""What Prometheus reads, and whoever looks whether the engine lives: counts, and nothing of any request. The last one is the
fake engine's, for tests."""
_REFUSAL = AuthenticationFailed("This engine takes requests from its cluster only; send them to xinfer's address.")


class Doorkeeper:
    """Without a secret, outside of a cluster, it admits everybody."""

    def __init__(self, secret: str | None) -> None:
        self._secret = None if secret is None else secret.encode()

    def admits(self, scope: Scope) -> bool:
        """Whether the request may pass; what is no request, as the start of the server, always may."""
        kind = scope["type"]
        if self._secret is None or kind == "lifespan":
            return True
        if kind == "http" and scope["method"] in ("GET", "HEAD") and scope["path"] in _OPEN:
            return True
        shown = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        return hmac.compare_digest(shown, self._secret)

    async def refuse(self, scope: Scope, send: Send) -> None:
        """Respond to a request that may not pass; close a web socket."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send_json(send, _REFUSAL.status, _REFUSAL.body())
