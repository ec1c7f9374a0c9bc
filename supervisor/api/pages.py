"""REST: the OpenAPI document, and Swagger UI on it, whose files come from the package fastapi-offline and not from a CDN."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse


def add_routes(routes: APIRouter) -> None:
    """Add the routes of the document and its page."""
    routes.add_api_route(
        "/openapi.json", document, methods=["GET"], summary="This document.", response_model=dict[str, Any]
    )
    routes.add_api_route(
        "/docs", page, methods=["GET"], summary="This document as a page.", response_class=HTMLResponse
    )
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        routes.add_api_route(f"/docs/{name}", asset, methods=["GET"], include_in_schema=False, response_model=None)


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
