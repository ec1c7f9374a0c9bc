"""What pages in browsers may do here: nothing but what a page of any origin can do anyway, unless its origin is allowed."""

from __future__ import annotations

import ipaddress
import socket
from functools import cache
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Scope

from xinfer.errors import PermissionRefused
from xinfer.settings import ANY_ORIGIN

_EXPOSED = (
    *("request-id", "retry-after", "x-request-id", "x-should-retry"),
    *(f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")),
)
"""Headers of responses that the SDKs read, beside those that every page may read."""


def with_cors(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """``app`` with CORS for pages of these origins; ``app`` itself if there are none.

    It wraps the ``send`` of heads and last pieces. The other pieces of a stream go out by the server's own, as without it.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        # For a proxy in front that knows its users by cookies. Any page could use them if every origin is allowed.
        allow_credentials=ANY_ORIGIN not in origins,
        # The usual cluster is on loopback, and some browsers ask whether a public page may reach that.
        allow_private_network=True,
        expose_headers=_EXPOSED,
    )


def refuse_changes(scope: Scope, origins: tuple[str, ...]) -> None:
    """``PermissionRefused`` if a page whose origin is not named would change the cluster, unless it is this server's console.

    Browsers name the page's origin in what they POST or DELETE. A page may launch models with code that comes with them, so
    ``*`` does not allow that.
    """
    if scope["method"] in ("GET", "HEAD"):
        return
    named = [value for name, value in scope["headers"] if name == b"origin"]
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    foreign = [value.decode("latin-1") for value in named if value.decode("latin-1") not in origins]
    if any(not _is_own(origin, host) for origin in foreign):
        raise PermissionRefused(
            "Requests from web pages may not change the cluster, unless `xinfer start --cors-origin` names their origin."
        )


def _is_own(origin: str, host: str) -> bool:
    """Whether a page of ``origin`` came from the server that it asks, which it reached as ``host``.

    A name that somebody else's DNS server answers for may point anywhere, here as well, and its pages would be of the same
    origin then. So the host has to be an address, this machine's own name, or localhost; others are for ``--cors-origin``.
    """
    try:
        page = urlsplit(origin)
        name = page.hostname or ""
    except ValueError:
        return False
    return page.netloc == host and (name in _own_names() or _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@cache
def _own_names() -> frozenset[str]:
    return frozenset({"localhost", socket.gethostname().lower()})
