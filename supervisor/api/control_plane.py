"""The control plane as one FastAPI application, and the OpenAPI document of both planes that comes out of it."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from supervisor.api.data_plane_schemas import data_plane_paths
from xinfer import __version__
from xinfer.errors import InvalidBody

_DESCRIPTION = (
    "OpenAI's API for language models, and Xinference's to manage them. Errors have `error` and `detail`. "
    "Requests for models go to vLLM's server as they are: fields that are not named here reach it, too."
)
# A reference and not the type: FastAPI would make a validator of it for every route, most of a second at the start of a
# supervisor. The type itself comes into the document with the routes that only respond with errors.
_ERROR: dict[str, Any] = {
    "description": "What went wrong, in a sentence.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorReply"}}},
}


class ControlPlane(FastAPI):
    """FastAPI's routing, validation and OpenAPI document. Errors are raised to the caller, whose handler is both planes'.

    The parts of the API add their routes to ``router`` itself: ``include_router`` would build each of them a second time.
    """

    def __init__(self, max_body_bytes: int, *, requires_keys: bool) -> None:
        super().__init__(
            title="xinfer",
            version=__version__,
            description=_DESCRIPTION,
            # FastAPI's own pages load their scripts from a CDN; supervisor.api.pages serves them without a network.
            openapi_url=None,
            responses={"4XX": _ERROR, "5XX": _ERROR},
            generate_unique_id_function=_operation_id,
        )
        self.state.max_body_bytes = max_body_bytes
        self.state.requires_keys = requires_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Starlette's routes take HEAD wherever they take GET, FastAPI's do not. The server drops the body of a response to HEAD.
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await super().__call__(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Only what FastAPI's handlers need: its middleware for errors would respond before the supervisor's handler could."""
        return AsyncExitStackMiddleware(self.router)

    def openapi(self) -> dict[str, Any]:
        """The document of both planes. It is the same for every server of this version, and made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["paths"] = {**data_plane_paths(document["paths"]), **document["paths"]}
        return super().openapi()

    def allowed_methods(self, path: str) -> list[str]:
        """What ``path`` takes, for the header ``Allow``: Starlette's own names one route's methods and not another's."""
        found: set[str] = set()
        for route in self.routes:
            if isinstance(route, Route) and route.path_regex.match(path):
                found.update(route.methods or ())
        if "GET" in found:
            found.add("HEAD")
        return sorted(found)


def invalid_request(error: RequestValidationError) -> InvalidBody:
    """The first value of the query or the body that is not as declared. ``loc`` is where it is, then its name."""
    first = error.errors()[0]
    field = str(first["loc"][1])
    return InvalidBody(f"{field}: {first['msg']}.", param=field)


def _operation_id(route: APIRoute) -> str:
    words = re.sub(r"[^a-zA-Z0-9]+", "_", route.path_format).strip("_")
    method = min(route.methods).lower()
    return f"{method}_{words}"
