"""REST: the page at the server's address, the OpenAPI document, and Swagger UI on it.

Swagger UI's files come from the package fastapi-offline and not from a CDN.
"""

from __future__ import annotations

import asyncio
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response

from supervisor.api import console
from xinfer import __version__

# Addresses are relative, so that the page works behind a proxy that adds a prefix.
_HOME = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>xinfer</title></head>
<body>
<h1>{title}</h1>
<p>This server has OpenAI's API for language models. Clients take this address with <code>/v1</code> as their base URL.</p>
<ul>
<li><a href="ui/">ui</a>: the console</li>
<li><a href="v1/models">v1/models</a>: the models that can be used</li>
<li><a href="docs">docs</a>: every route of the API</li>
</ul>
</body>
</html>
"""


def add_routes(routes: APIRouter) -> None:
    """Add the routes of the pages and the document."""
    routes.add_api_route(
        "/", home, methods=["GET"], summary="What this is, for whoever opens it.", response_class=HTMLResponse
    )
    routes.add_api_route(
        "/openapi.json", document, methods=["GET"], summary="This document.", response_model=dict[str, Any]
    )
    routes.add_api_route(
        "/docs", page, methods=["GET"], summary="This document as a page.", response_class=HTMLResponse
    )
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        routes.add_api_route(f"/docs/{name}", asset, methods=["GET"], include_in_schema=False, response_model=None)


async def home(request: Request) -> Response:
    """The console for browsers; for others the name and where to go on, and the version unless it takes a key to ask."""
    if console.wants_page(request):
        return RedirectResponse("ui/", 307, headers={"Vary": "Accept"})
    title = "xinfer" if request.app.state.requires_keys else f"xinfer {__version__}"
    return HTMLResponse(_HOME.format(title=title), headers={"Vary": "Accept"})


async def document(request: Request) -> JSONResponse:
    """OpenAPI 3.1, of both planes."""
    return JSONResponse(await asyncio.to_thread(request.app.openapi))


async def page() -> HTMLResponse:
    """Swagger UI. It works without a network."""
    # Addresses are relative, so that the page works behind a proxy that adds a prefix.
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="xinfer",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
    )


async def asset(request: Request) -> FileResponse:
    """One of the files that the page loads."""
    name = request.url.path.rpartition("/")[2]
    return FileResponse(_folder() / name)


@cache
def _folder() -> Path:
    return Path(str(resources.files("fastapi_offline"))) / "static"
