"""One error in the words of each API: what its own clients look for in an answer's body, and in a stream that breaks off."""

from __future__ import annotations

from enum import Enum
from typing import Any

from xinfer.errors import XinferError
from xinfer.wire.paths import MESSAGES, RESPONSES
from xinfer.wire.sse import encode_event

_ANTHROPICS = (MESSAGES, "/anthropic/")
_ANTHROPICS_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class ErrorFormat(Enum):
    """How an API writes errors. Each has ``detail`` beside it, which Xinference's clients read."""

    OPENAI = "openai"
    """``{"error": {...}}``, and the same as the last event of a stream."""
    RESPONSES = "responses"
    """As OpenAI's, but the last event of a stream has the name and fields that the Responses API gives it."""
    ANTHROPIC = "anthropic"
    """``{"type": "error", "error": {...}, "request_id": ...}``, and an event of the name ``error``."""

    @staticmethod
    def of(path: str) -> ErrorFormat:
        """The form that clients of ``path`` read."""
        if path.startswith(_ANTHROPICS):
            return ErrorFormat.ANTHROPIC
        if path.startswith(RESPONSES):
            return ErrorFormat.RESPONSES
        return ErrorFormat.OPENAI

    def body(self, error: XinferError, request_id: str | None = None) -> dict[str, Any]:
        """``error`` as an answer's JSON body."""
        own = error.body()
        if self is not ErrorFormat.ANTHROPIC:
            return own
        fields = own["error"] | {"type": _anthropics_type(error), "details": {"error_code": error.code}}
        return {"type": "error", "error": fields, "request_id": request_id, "detail": error.message}

    def headers(self, request_id: str) -> dict[str, str]:
        """What every answer of this API carries, whether good or bad."""
        if self is ErrorFormat.ANTHROPIC:
            return {"request-id": request_id}
        return {}

    def event(self, error: XinferError, request_id: str | None = None) -> bytes:
        """``error`` as the event that ends a stream."""
        payload = self.body(error, request_id)
        if self is ErrorFormat.OPENAI:
            return encode_event(payload)
        if self is ErrorFormat.RESPONSES:
            payload = {"type": "error", "code": error.code, "message": error.message, "param": error.param} | payload
        return encode_event(payload, b"error")


def _anthropics_type(error: XinferError) -> str:
    if error.status < 500:
        fallback = "invalid_request_error"
    else:
        fallback = "api_error"
    return _ANTHROPICS_TYPES.get(error.status, fallback)
