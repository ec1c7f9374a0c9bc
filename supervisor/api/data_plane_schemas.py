"""The data plane's part of the OpenAPI document. Its bodies go on to vLLM's server: only what xinfer reads is described."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from supervisor.translate.engine_request import DATA_PLANE

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_ANYTHING: Schema = {"type": "object"}
_MODEL: Schema = {**_TEXT, "minLength": 1, "description": "A model's UID."}
_STREAM: Schema = {"type": ["boolean", "null"], "description": "Whether the response is a stream of events."}
_EVENT: Schema = {"type": "object", "required": ["data"], "properties": {"data": _TEXT, "event": _TEXT}}
_RESUME: Schema = {
    "enum": [True, False, "any", None],
    "description": "Whether another replica goes on with the stream if its own is lost.",
}
_MESSAGES: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "object", "required": ["role"], "properties": {"role": _TEXT}},
}


def _body(required: tuple[str, ...], **fields: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": fields}


_CHAT = _body(
    ("model", "messages"),
    model=_MODEL,
    messages=_MESSAGES,
    stream=_STREAM,
    resume=_RESUME,
    enable_thinking={"type": ["boolean", "null"], "description": "Whether a model that can choose is to think."},
    chat_template_kwargs={"description": "Variables of the chat template, as an object or as JSON text."},
)
_COMPLETION = _body(
    ("model", "prompt"),
    model=_MODEL,
    prompt={"description": "Text, token ids, or a list."},
    stream=_STREAM,
    resume=_RESUME,
)
_RESPONSES = _body(("model", "input"), model=_MODEL, input={"description": "Text, or items."}, stream=_STREAM)
_ANTHROPIC = _body(
    ("model", "messages", "max_tokens"), model=_MODEL, messages=_MESSAGES, max_tokens={"type": "integer"}
)
_COUNT = _body(("model", "messages"), model=_MODEL, messages=_MESSAGES)
_TOKENIZE: Schema = {
    "type": "object",
    "properties": {"model": _MODEL, "prompt": _TEXT, "messages": _MESSAGES},
    "anyOf": [{"required": ["prompt"]}, {"required": ["messages"]}],
}
_TOKENS: Schema = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_DETOKENIZE: Schema = {"type": "object", "required": ["tokens"], "properties": {"model": _MODEL, "tokens": _TOKENS}}

_BODIES: dict[str, tuple[str, Schema]] = {
    "/v1/chat/completions": ("Chat completion.", _CHAT),
    "/v1/completions": ("Text completion.", _COMPLETION),
    "/v1/responses": ("OpenAI's Responses API. Nothing is stored.", _RESPONSES),
    "/v1/messages": ("Anthropic's Messages API.", _ANTHROPIC),
    "/v1/messages/count_tokens": ("Count the tokens of messages.", _COUNT),
    "/tokenize": ("Tokens of a text, or of messages in the chat template.", _TOKENIZE),
    "/detokenize": ("The text of tokens.", _DETOKENIZE),
}
_WITHOUT_STREAM = ("/tokenize", "/detokenize", "/v1/messages/count_tokens")

BY_UID = ("/v1/models/{uid}/tokenize", "/v1/models/{uid}/detokenize")
"""Paths that name the model themselves."""


def data_plane_paths(control_paths: Mapping[str, Any]) -> dict[str, Schema]:
    """An OpenAPI path item for every path of the data plane; errors are described as those of ``control_paths`` are."""
    described = control_paths["/v1/models"]["get"]["responses"]
    errors = {status: described[status] for status in ("4XX", "5XX")}

    paths = {}
    for path, api in DATA_PLANE.items():
        paths[path] = {"post": _operation(path, api.path, errors)}
    for path in BY_UID:
        operation = _operation(path, f"/{path.rpartition('/')[2]}", errors)
        operation["parameters"] = [{"name": "uid", "in": "path", "required": True, "schema": _TEXT}]
        paths[path] = {"post": operation}
    return paths


def _operation(path: str, engine_path: str, errors: dict[str, Schema]) -> Schema:
    summary, body = _BODIES[engine_path]
    content: Schema = {"application/json": {"schema": _ANYTHING}}
    if engine_path not in _WITHOUT_STREAM:
        # As FastAPI describes its own streams: ``schema`` would be taken for the schema of each event's text.
        content["text/event-stream"] = {"itemSchema": _EVENT}

    words = re.sub(r"[^a-zA-Z0-9]+", "_", path).strip("_")
    return {
        "summary": summary,
        "operationId": f"post_{words}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": {"description": "Successful Response", "content": content}, **errors},
    }
