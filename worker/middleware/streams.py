"""The ASGI side of streams with named events: decides between a stream, a status and a last word."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.middleware.asgi import send_json
from worker.middleware.named_events import EventStream
from xinfer.errors import BadRequest
from xinfer.wire.error_format import ErrorFormat
from xinfer.wire.paths import MESSAGES, RESPONSES

_PATHS = frozenset({RESPONSES, MESSAGES})


class EventsMiddleware:
    """Watches the streams of the Responses and the Messages API; everything else passes untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in _PATHS:
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, EventStream(ErrorFormat.of(scope["path"])))
        try:
            await self._app(scope, receive, answer)
        except Exception as failure:
            if not await answer.fail(failure):
                raise


class _Answer:
    """One answer on its way out. The head of a stream waits for its first event: what ends before it is a plain error answer."""

    def __init__(self, send: Send, stream: EventStream) -> None:
        self._send = send
        self._stream = stream
        self._head: Message | None = None
        self._streams = self._ended = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = dict(message["headers"]).get(b"content-type", b"")
            self._streams = message["status"] == 200 and kind.startswith(b"text/event-stream")
            self._head = message
        if not self._streams:
            await self._send(message)
        elif message["type"] == "http.response.body":
            more = message.get("more_body", False)
            await self._pass(
                self._stream.feed(message.get("body", b"")) + (b"" if more else self._stream.finish()), more
            )

    async def fail(self, failure: Exception) -> bool:
        """Say in the stream that the app has failed, or in place of it; whether that is all there is to do."""
        if not self._streams or self._ended:
            return False
        await self._pass(self._stream.finish(failure), more=False)
        return isinstance(self._stream.failed_at_once, BadRequest)

    async def _pass(self, out: bytes, more: bool) -> None:
        if self._ended or (more and not out and not self._stream.failed_at_once):
            return
        error = self._stream.failed_at_once
        if error:
            self._ended = True
            fields = {"message": error.message, "type": error.type, "param": error.param, "code": error.status}
            await send_json(self._send, error.status, {"error": fields})
            return
        if self._head is not None:
            head = self._head
            self._head = None
            await self._send(head)
        self._ended = not more
        await self._send({"type": "http.response.body", "body": out, "more_body": more})
