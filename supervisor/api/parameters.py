"""What handlers take from a request: its query values, its body as a JSON object, and how the document describes them."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from supervisor.access.caller import Caller, caller_of
from supervisor.api.lookups import check_type
from supervisor.gateway.request_body import parse_object, read_body

M = TypeVar("M", bound=BaseModel)

# pydantic reads true, false, 1, 0, yes and no in any case, and refuses anything else.
WaitReady = Annotated[bool, Query(description="Whether to respond only once every replica is ready.")]
Detailed = Annotated[bool, Query(description="Whether to respond with all that is known.")]
WorkerIp = Annotated[str | None, Query(description="A node's address; all nodes without it.")]


async def _language_models(
    model_type: Annotated[str, Path(alias="type", description="LLM, in any case; there are no others.")],
) -> str:
    check_type(model_type)
    return model_type


async def _object(request: Request) -> dict[str, Any]:
    # Not FastAPI's own parsing: it reads the whole body before anything can refuse it, and words its errors differently.
    raw = await read_body(request.scope, request.receive, request.app.state.max_body_bytes)
    return parse_object(raw)


async def _object_or_nothing(request: Request) -> dict[str, Any]:
    raw = await read_body(request.scope, request.receive, request.app.state.max_body_bytes)
    return parse_object(raw or b"{}")


def _caller(request: Request) -> Caller | None:
    return caller_of(request.scope)


Requester = Annotated[Caller | None, Depends(_caller)]
"""Whose request it is; None where no keys are required."""
# A dependency, and the first of its handlers: the type is refused before the body is read.
ModelType = Annotated[str, Depends(_language_models)]
JsonObject = Annotated[dict[str, Any], Depends(_object)]
OptionalJsonObject = Annotated[dict[str, Any], Depends(_object_or_nothing)]


def describe_body(kind: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """A route's ``openapi_extra`` for a body that is read as ``kind``."""
    content = {"application/json": {"schema": kind.model_json_schema()}}
    return {"requestBody": {"required": required, "content": content}}


def validate(kind: type[M], body: dict[str, Any]) -> M:
    """``body`` as ``kind``, or FastAPI's own error for fields that are wrong."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(found) from None
