"""The ASGI side: watches the two routes whose answers are reshaped, and lets everything else pass untouched."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.middleware.aborts import AbortableRequests
from worker.middleware.asgi import read_body, send_json
from worker.middleware.core_health import CoreHealthMiddleware
from worker.middleware.stream_rewriter import StreamRewriter, rewrite_response
from worker.middleware.streams import EventsMiddleware
from xinfer.wire.paths import ABORT_PATH, CHAT, COMPLETIONS
from xinfer.wire.response_options import ResponseOptions

_ABORTED = {"message": "The request was aborted.", "type": "invalid_request_error", "code": "request_aborted"}
_ABORTED_STATUS = 499


class ContractMiddleware:
    """Reshapes successful answers of chat and text completions as the request's headers wish, and aborts requests by id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = EventsMiddleware(CoreHealthMiddleware(app))
        self._under_way = AbortableRequests()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path")
        if scope["type"] != "http" or path not in (CHAT, COMPLETIONS, ABORT_PATH):
            await self._app(scope, receive, send)
            return
        if path == ABORT_PATH:
            await self._abort(receive, send)
            return
        options = ResponseOptions.from_headers(scope["headers"])
        answer = _Answer(send, options, chat=path == CHAT)
        if options.request_id is None:
            await self._app(scope, receive, answer)
        else:
            await self._serve_abortable(options.request_id, scope, receive, answer)

    async def _serve_abortable(self, request_id: str, scope: Scope, receive: Receive, answer: _Answer) -> None:
        with self._under_way.request(request_id, receive) as request:

            async def send(message: Message) -> None:
                if not request.given_up:
                    await answer(message)

            if not request.given_up:
                await self._app(scope, request.receive, send)
            if request.given_up:
                await answer.abort()

    async def _abort(self, receive: Receive, send: Send) -> None:
        try:
            order = msgspec.json.decode(await read_body(receive))
        except ClientDisconnect:
            return

        if self._under_way.abort(order["request_id"], order["block_duration"]):
            result = "DONE"
        else:
            result = "NOT_FOUND"
        await send_json(send, 200, {"msg": result})


class _Answer:
    """One answer on its way out. What becomes of its body is decided when its head is there."""

    def __init__(self, send: Send, options: ResponseOptions, *, chat: bool) -> None:
        self._send = send
        self._options = options
        self._chat = chat
        self._body: Send = send
        self._stream: _Streamed | None = None
        self._is_over = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] == "http.response.body":
            self._is_over = not message.get("more_body", False)
            await self._body(message)
        else:
            await self._send(message)

    async def abort(self) -> None:
        """End it, unless it has ended: a stream that has begun is finished, anything else becomes an error."""
        if self._is_over:
            return
        if self._stream is not None and self._stream.has_begun:
            await self._stream.abort()
        else:
            await send_json(self._send, _ABORTED_STATUS, {"error": _ABORTED})

    async def _begin(self, head: Message) -> None:
        kind = dict(head["headers"]).get(b"content-type", b"")
        if head["status"] == 200 and kind.startswith(b"text/event-stream"):
            self._body = self._stream = _Streamed(self._send, head, StreamRewriter(self._options, chat=self._chat))
        elif head["status"] == 200 and self._chat:
            self._body = _Whole(self._send, head, self._options)
        else:
            await self._send(head)


class _Streamed:
    """A stream. Its head waits for its first event: one that begins with an error is no stream but a plain error answer."""

    def __init__(self, send: Send, head: Message, reshaper: StreamRewriter) -> None:
        self._send = send
        self._reshaper = reshaper
        self._head: Message | None = head
        self._refused = False

    @property
    def has_begun(self) -> bool:
        return self._head is None

    async def __call__(self, message: Message) -> None:
        more = message.get("more_body", False)
        out = self._reshaper.feed(message.get("body", b""))
        if not more:
            out += self._reshaper.finish()
        if self._refused or (more and not out):
            return
        if self._head is not None and self._reshaper.failed_at_once:
            self._refused = True
            await self._refuse(self._reshaper.failed_at_once)
            return
        if self._head is not None:
            head = self._head
            self._head = None
            await self._send(head)
        await self._send({"type": "http.response.body", "body": out, "more_body": more})

    async def abort(self) -> None:
        await self._send({"type": "http.response.body", "body": self._reshaper.abort(), "more_body": False})

    async def _refuse(self, error: dict[str, Any]) -> None:
        code = error.get("code")
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        await send_json(self._send, status, {"error": error})


class _Whole:
    """An answer in one piece: collected, reshaped, sent."""

    def __init__(self, send: Send, head: Message, options: ResponseOptions) -> None:
        self._send = send
        self._head = head
        self._options = options
        self._parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        self._parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            body = rewrite_response(b"".join(self._parts), self._options)
            await send_json(self._send, self._head["status"], body, self._head["headers"])
