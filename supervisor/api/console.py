"""REST: the console, a page for browsers, as it was built into ``supervisor/console/dist``."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from xinfer.errors import NotFound

DIST = Path(__file__).resolve().parent.parent / "console" / "dist"
INDEX = "index.html"
# Everything comes from this server, and nothing may frame the page. Images of a chat are data that the page itself has.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}
# Their names have a hash of what is in them.
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


@dataclass(frozen=True, slots=True)
class _File:
    plain: bytes
    packed: bytes
    media_type: str
    tag: str


def add_routes(routes: APIRouter) -> None:
    """Add the routes of the console's files."""
    routes.add_api_route("/ui", to_console, methods=["GET"], include_in_schema=False, response_model=None)
    routes.add_api_route("/ui/{name:path}", file, methods=["GET"], include_in_schema=False, response_model=None)


def wants_page(request: Request) -> bool:
    """Whether a browser navigates here, rather than a program that takes anything."""
    return "text/html" in request.headers.get("accept", "")


async def to_console() -> RedirectResponse:
    """Addresses within the page are relative to ``/ui/``, so that it works behind a proxy that adds a prefix."""
    return RedirectResponse("ui/", 307)


async def file(request: Request, name: str) -> Response:
    """One of the console's files; the page itself for the folder."""
    found = (await asyncio.to_thread(_files)).get(name or INDEX)
    if found is None:
        raise NotFound(f"The console has no file {name[:100]!r}.")
    headers = {**_HEADERS, "ETag": found.tag, "Cache-Control": _FOR_EVER if name.startswith("assets/") else _ASK_AGAIN}
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    body = found.plain
    if "gzip" in request.headers.get("accept-encoding", ""):
        body = found.packed
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers, media_type=found.media_type)


@cache
def _files() -> dict[str, _File]:
    """All of them, by the path below ``dist``: few, small, and compressed once. Nothing else can be read through the route."""
    return {str(path.relative_to(DIST)): _read(path) for path in DIST.rglob("*") if path.is_file()}


def _read(path: Path) -> _File:
    plain = path.read_bytes()
    media_type = mimetypes.types_map.get(path.suffix, "application/octet-stream")
    return _File(plain, gzip.compress(plain, mtime=0), media_type, f'"{hashlib.sha256(plain).hexdigest()[:32]}"')
