"""Streams of named events, as the Responses and the Messages API have them: none begins too early, none ends in silence.

vLLM finds some faults of a request only when it has begun to stream, and then the stream ends without a word (Responses) or with
an event that quotes vLLM's own code (Messages).
"""

from __future__ import annotations

import contextlib

from worker.middleware.after_thought import AfterThought
from xinfer.errors import BadRequest, EngineLost, InternalError, XinferError
from xinfer.wire import sse
from xinfer.wire.error_format import ErrorFormat

_OVERTURE = (b"event: response.created", b"event: response.in_progress")
"""What vLLM sends before the engine has seen the request."""
_ENDS = (
    b"event: message_stop",
    b"event: response.completed",
    b"event: response.incomplete",
    b"event: response.failed",
)
_ERROR = b"event: error"
# Of the error that vLLM took for a chunk of the answer and could not read.
_REFUSAL = b"'code': 400"
_CALLERS_FAULTS = frozenset({"VLLMClientError", "ValueError", "TypeError", "TemplateError"})


class EventStream:
    """Passes one stream on, event by event."""

    def __init__(self, form: ErrorFormat, after_thought: AfterThought) -> None:
        self._form = form
        self._after_thought = after_thought
        self._splitter = sse.EventSplitter()
        self._held = b""
        self._begun = False
        self._over = False
        self.refusal: XinferError | None = None
        """Why there is no answer, if the stream has ended before it began."""

    def feed(self, data: bytes) -> bytes:
        """What may go out after ``data`` has come in; events that are cut in two wait for their other half."""
        return b"".join(self._pass(event) for event in self._splitter.feed(data) if event.strip())

    def finish(self) -> bytes:
        """What has to follow when the engine's stream has ended."""
        return self.fail(EngineLost("The engine ended the answer before it was complete."))

    def fail(self, error: XinferError) -> bytes:
        """What has to follow when the stream cannot be finished because of ``error``; nothing if it is complete."""
        if self._over:
            return b""
        self._over = True
        if not self._begun:
            self.refusal = error
            return b""
        return self._form.event(error)

    def _pass(self, event: bytes) -> bytes:
        if self._over:
            return b""
        if event.startswith(_ERROR):
            return self.fail(_read(event))
        out = self._held + self._after_thought.rewrite(event)
        self._held = b""
        if not self._begun and event.startswith(_OVERTURE):
            self._held = out
            return b""
        self._begun = True
        self._over = event.startswith(_ENDS)
        return out


def _read(event: bytes) -> XinferError:
    if _REFUSAL in event:
        return BadRequest("The engine refuses a value of this request; the same without 'stream' tells which and why.")
    return InternalError("The engine failed.")


def error_of(failure: Exception) -> XinferError:
    """What vLLM's server makes of the same failure where it does not stream."""
    if isinstance(failure.__cause__, Exception):
        cause = failure.__cause__
    else:
        cause = failure
    names = {kind.__name__ for kind in type(cause).__mro__}
    param = None
    with contextlib.suppress(AttributeError):
        param = cause.parameter  # type: ignore[attr-defined]
    if names & _CALLERS_FAULTS:
        return BadRequest(str(cause), param=param)
    return InternalError("The engine failed.")
