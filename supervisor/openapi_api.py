"""REST: the description of the API itself."""

from __future__ import annotations

import asyncio
from functools import cache

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from supervisor.openapi import document


def paths() -> list[Route]:
    """What this part serves."""
    return [Route("/openapi.json", openapi, methods=["GET"])]


async def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    return await asyncio.to_thread(_made)


@cache
def _made() -> Response:
    """Made once, when somebody asks for it."""
    return JSONResponse(document())
