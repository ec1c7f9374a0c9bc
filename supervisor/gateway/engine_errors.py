"""Errors of an engine, put into our words and shape."""

from __future__ import annotations

import re
from ast import literal_eval
from typing import Any

import msgspec

from xinfer.errors import (
    BadRequest,
    ContextLengthExceeded,
    EngineLost,
    InternalError,
    InvalidBody,
    Unavailable,
    XinferError,
    from_response,
)

# A string as Python's repr writes it.
_TEXT = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_PLACE = rf"{_TEXT}|\((?:{_TEXT}|[\d, ])*\)"
_VALIDATION = re.compile(rf"'loc': (?P<loc>{_PLACE}), 'msg': (?P<msg>{_TEXT})")
# The class that vLLM tried, in the place of an error.
_KIND = re.compile(r"\.[A-Z]\w*")
_CONTEXT = re.compile(r"context length|max_model_len|longer than the maximum model length", re.IGNORECASE)
_ENGINE_DEAD = b"EngineCore encountered an issue"


def is_engine_dead(status: int, body: bytes) -> bool:
    """True if this is what vLLM's server says when its engine core has died (``EngineDeadError``)."""
    return status >= 500 and _ENGINE_DEAD in body


def tells_of_lost_engine(error: Any) -> bool:
    """True if the error that ends a stream means that its engine is dead, or ended the stream before its end."""
    if not isinstance(error, dict):
        return False
    return error.get("code") == EngineLost.code or _ENGINE_DEAD.decode() in str(error.get("message"))


def translate(status: int, body: bytes, request_id: str) -> XinferError:
    """The error of ours that says what the engine's answer ``status`` with ``body`` says."""
    if status == 503:
        return Unavailable("The engine cannot take this request now.", retry_after_s=1)
    if status >= 500:
        return InternalError(f"The engine failed on this request. The log has details under request id {request_id}.")
    error = from_response(status, _json(body))
    if not isinstance(error, BadRequest):
        return error
    refusals = list(_VALIDATION.finditer(error.message))
    if refusals:
        return _invalid_body([(_dotted(literal_eval(each["loc"])), literal_eval(each["msg"])) for each in refusals])
    if _CONTEXT.search(error.message):
        return ContextLengthExceeded(error.message, param=error.param)
    return BadRequest(error.message, param=error.param)


def _invalid_body(refusals: list[tuple[str, str]]) -> InvalidBody:
    """The refusal that goes deepest, the first of those: the others say that it is none of the kinds it was not meant to be."""
    loc, reason = max(refusals, key=lambda refusal: refusal[0].count("."))
    field = _KIND.sub("", loc.removeprefix("body."))
    return InvalidBody(f"{field}: {reason}", param=field)


def _dotted(place: str | tuple[str | int, ...]) -> str:
    """``body.messages.0.content``. Older vLLM (0.20) gives it in parts, with the types that it tried among them."""
    if isinstance(place, str):
        return place
    return ".".join(str(part) for part in place if part != "str" and "[" not in str(part))


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
