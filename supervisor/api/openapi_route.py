"""REST: the description of the API itself."""

from __future__ import annotations

import asyncio
from functools import cache

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from supervisor.api.openapi import document


def paths() -> list[Path]:
    return [Path("/openapi.json", openapi, methods=["GET"])]


async def openapi(request: Request) -> Response:
    return await asyncio.to_thread(_made)


@cache
def _made() -> Response:
    """Made once, when somebody asks for it."""
    return JSONResponse(document())
