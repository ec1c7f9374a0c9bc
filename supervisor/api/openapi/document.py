"""The OpenAPI document, made of the table of operations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter
from starlette.routing import BaseRoute
from starlette.routing import Route as Path

from supervisor.api.openapi.control import CONTROL
from supervisor.api.openapi.engine import ENGINE
from supervisor.api.openapi.operation import Operation, Schema
from supervisor.api.schemas import ErrorReply
from xinfer import __version__

OPERATIONS: tuple[Operation, ...] = (*ENGINE, *CONTROL)
_REF = "#/components/schemas/{model}"
_CONVERTOR = re.compile(r":\w+\}")
_DESCRIPTION = (
    "OpenAI's API for language models, and Xinference's to manage them. Errors have `error` and `detail`. "
    "Requests for models go to vLLM's server as they are: fields that are not named here reach it, too."
)


def document(operations: Iterable[Operation] = OPERATIONS) -> Schema:
    """The whole document. It is the same for every server of this version."""
    found = list(operations)
    types = list({repr(kind): kind for each in found for kind in (*each.types, ErrorReply)}.values())
    adapters = [(repr(kind), "serialization", TypeAdapter(kind)) for kind in types]
    schemas, definitions = TypeAdapter.json_schemas(adapters, ref_template=_REF)  # type: ignore[arg-type]  # of any type
    by_type = {name: schema for (name, _), schema in schemas.items()}
    paths: dict[str, Schema] = {}
    for each in found:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "xinfer", "version": __version__, "description": _DESCRIPTION},
        "paths": paths,
        "components": {"schemas": definitions.get("$defs", {})},
    }


def served(routes: Iterable[BaseRoute]) -> set[tuple[str, str]]:
    """The method and path of each of these routes, as the document spells them."""
    found = [route for route in routes if isinstance(route, Path)]
    return {
        (method, _CONVERTOR.sub("}", route.path))
        for route in found
        for method in (route.methods or set())
        if method != "HEAD"  # Starlette's own, beside every GET
    }


def _operation(operation: Operation, by_type: dict[str, Any]) -> Schema:
    error = {"description": "What went wrong, in a sentence.", "content": _content(by_type[repr(ErrorReply)])}
    told: Schema = {
        "summary": operation.summary,
        "operationId": _identifier(operation),
        "parameters": operation.parameters,
        "responses": {"4XX": error, "5XX": error},
    }
    if operation.answers:
        told["responses"]["200"] = {"description": "Done.", "content": _answer(operation, by_type)}
    if operation.body is not None:
        content = _content(_schema(operation.body, by_type))
        told["requestBody"] = {"required": operation.body_required, "content": content}
    return told


def _answer(operation: Operation, by_type: dict[str, Any]) -> Schema:
    if operation.streams:
        stream = {"text/event-stream": {"schema": {"type": "string"}}}
    else:
        stream = {}
    return _content(_schema(operation.reply, by_type), operation.content_type) | stream


def _schema(kind: Any, by_type: dict[str, Any]) -> Schema:
    if kind is None:
        return {"type": "null"}
    found: Schema = kind if isinstance(kind, dict) else by_type[repr(kind)]
    return found


def _content(schema: Schema, content_type: str = "application/json") -> Schema:
    return {content_type: {"schema": schema}}


def _identifier(operation: Operation) -> str:
    words = re.sub(r"[^a-zA-Z0-9]+", "_", operation.path).strip("_")
    return f"{operation.method.lower()}_{words}"
