"""REST: routes of OpenAI's and Xinference's APIs about what xinfer does not keep; each is always a 404 that says so."""

from __future__ import annotations

from typing import NoReturn

from fastapi import APIRouter

from supervisor.api.schemas import ErrorReply
from xinfer.errors import NotFound

_ONE = "/v1/responses/{response_id}"
_NOT_KEPT = "Responses are not kept: always 404."


def add_routes(routes: APIRouter) -> None:
    """Add the routes whose only response is an error."""
    for method, path in (("GET", _ONE), ("DELETE", _ONE), ("POST", f"{_ONE}/cancel"), ("GET", f"{_ONE}/input_items")):
        routes.add_api_route(
            path, stored_response, methods=[method], summary=_NOT_KEPT, status_code=404, response_model=ErrorReply
        )
    routes.add_api_route(
        "/v1/requests/{request_id}/progress",
        request_progress,
        methods=["GET"],
        summary="Of image jobs; there are none: always 404.",
        status_code=404,
        response_model=ErrorReply,
    )


async def stored_response(response_id: str) -> NoReturn:
    """With several replicas, no two requests need reach the same engine, so none keeps a response for a later request."""
    raise NotFound("Responses are not kept here: what POST /v1/responses answers is all there is of one.")


async def request_progress(request_id: str) -> NoReturn:
    """Of a picture or a film, in Xinference; there are none here."""
    raise NotFound(
        "Only image and video jobs have a progress, and xinfer has none; an answer's progress is its stream."
    )
