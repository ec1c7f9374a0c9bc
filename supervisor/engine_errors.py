"""Errors of an engine, put into our words and shape."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from xinfer.errors import (
    BadRequest,
    ContextLengthExceeded,
    InternalError,
    InvalidBody,
    Unavailable,
    XinferError,
    from_response,
)

_VALIDATION = re.compile(r"'loc': '(?P<loc>[^']*)', 'msg': '(?P<msg>[^']*)'")
_CONTEXT = re.compile(r"context length|max_model_len|longer than the maximum model length", re.IGNORECASE)


def translate(status: int, body: bytes, request_id: str) -> XinferError:
    """The error of ours that says what the engine's answer ``status`` with ``body`` says."""
    if status == 503:
        return Unavailable("The engine cannot take this request now.", retry_after_s=1)
    if status >= 500:
        return InternalError(f"The engine failed on this request. The log has details under request id {request_id}.")
    error = from_response(status, _json(body))
    if not isinstance(error, BadRequest):
        return error
    if found := _VALIDATION.search(error.message):
        field = found["loc"].removeprefix("body.")
        return InvalidBody(f"{field}: {found['msg']}", param=field)
    kind = ContextLengthExceeded if _CONTEXT.search(error.message) else BadRequest
    return kind(error.message, param=error.param)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
