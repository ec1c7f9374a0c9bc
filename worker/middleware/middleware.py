"""The ASGI side: which responses are rewritten, when their heads go out, and how requests are aborted."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.middleware.aborts import AbortableRequests
from worker.middleware.after_thought import after_thought, rewrite_whole
from worker.middleware.asgi import read_body, send_json
from worker.middleware.core_health import CoreHealthMiddleware
from worker.middleware.doorkeeper import Doorkeeper
from worker.middleware.named_events import EventStream, error_of
from worker.middleware.request_log import RequestLog
from worker.middleware.stream_rewriter import StreamRewriter, WholeRewriter, rewrite_response
from xinfer.cluster.cluster_secret import guarding_secret
from xinfer.errors import BadRequest, RequestAborted, XinferError
from xinfer.wire.error_format import ErrorFormat
from xinfer.wire.paths import ABORT_PATH, CHAT, COMPLETIONS, MESSAGES, RESPONSES
from xinfer.wire.response_options import ResponseOptions


class ContractMiddleware:
    """Rewrites successful responses as the request's headers ask, and aborts requests by id. Other routes pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = CoreHealthMiddleware(app)
        self._under_way = AbortableRequests()
        self._doorkeeper = Doorkeeper(guarding_secret())
        self._log = RequestLog()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path")
        if not self._doorkeeper.admits(scope):
            await self._doorkeeper.refuse(scope, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._log.note(scope)
        if path in (CHAT, COMPLETIONS):
            await self._serve_completion(scope, receive, send)
        elif path in (RESPONSES, MESSAGES):
            await self._serve_named_events(scope, receive, send)
        elif path == ABORT_PATH:
            await self._abort(receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve_completion(self, scope: Scope, receive: Receive, send: Send) -> None:
        chat = scope["path"] == CHAT
        options = ResponseOptions.from_headers(scope["headers"])
        stream = StreamRewriter(options, chat=chat)
        whole = WholeRewriter(partial(rewrite_response, options=options)) if chat else None
        response = HeldHeadSend(send, stream, whole)
        if options.request_id is None:
            await self._app(scope, receive, response)
            return

        with self._under_way.request(options.request_id, receive) as request:

            async def send_unless_aborted(message: Message) -> None:
                if not request.given_up:
                    await response(message)

            if not request.given_up:
                await self._app(scope, request.receive, send_unless_aborted)
            if request.given_up:
                await response.fail(RequestAborted("The request was aborted."), stream.abort())

    async def _serve_named_events(self, scope: Scope, receive: Receive, send: Send) -> None:
        rewriter = after_thought(scope["path"])
        stream = EventStream(ErrorFormat.of(scope["path"]), rewriter)
        response = HeldHeadSend(send, stream, WholeRewriter(partial(rewrite_whole, rewriter)))
        try:
            await self._app(scope, receive, response)
        except Exception as failure:
            if not response.streams or response.is_over:
                raise
            error = error_of(failure)
            await response.fail(error, stream.fail(error))
            # What is the caller's fault, and was told with its status, is nothing for the engine's log.
            if stream.refusal is None or not isinstance(error, BadRequest):
                raise

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


class Rewriter(Protocol):
    """What becomes of the body of one response."""

    @property
    def refusal(self) -> XinferError | None:
        """Why there is no response, if it failed before any of it could go out."""

    def feed(self, data: bytes) -> bytes:
        """What may go out after ``data`` has come in."""

    def finish(self) -> bytes:
        """What has to follow when the engine's response has ended."""


class HeldHeadSend:
    """``send`` for one response. Its head waits for the first piece of the body that goes out.

    So what fails before that is an error with its status, and no stream. ``stream`` rewrites a stream, ``whole`` another
    response; what has no rewriter, and what has not succeeded, passes untouched.
    """

    def __init__(self, send: Send, stream: Rewriter, whole: Rewriter | None = None) -> None:
        self._send = send
        self._stream = stream
        self._whole = whole
        self._rewriter: Rewriter | None = None
        self._head: Message = {}
        self._has_begun = False
        self.is_over = False

    @property
    def streams(self) -> bool:
        """Whether the engine responds with a stream."""
        return self._rewriter is self._stream

    async def __call__(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            await self._start(message)
            return

        # From here on it runs for every chunk.
        more = message.get("more_body", False)
        rewriter = self._rewriter
        if rewriter is not None:
            body = rewriter.feed(message.get("body", b""))
            if not more:
                body += rewriter.finish()
            if self.is_over or (more and not body and rewriter.refusal is None):
                return
            if not self._has_begun and not await self._begin(rewriter, None if more else len(body)):
                return
            message = {"type": "http.response.body", "body": body, "more_body": more}
        self.is_over = not more
        await self._send(message)

    async def fail(self, error: XinferError, last: bytes) -> None:
        """End the response, unless it is over: with ``last`` if it is a stream that has begun, else as ``error``."""
        if self.is_over:
            return
        if not self._has_begun:
            await self._refuse(error)
        elif self.streams:
            self.is_over = True
            await self._send({"type": "http.response.body", "body": last, "more_body": False})

    async def _start(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            await self._send(message)
            return

        kind = dict(message["headers"]).get(b"content-type", b"")
        if message["status"] == 200 and kind.startswith(b"text/event-stream"):
            self._rewriter = self._stream
        elif message["status"] == 200:
            self._rewriter = self._whole

        self._head = message
        if self._rewriter is None:
            self._has_begun = True
            await self._send(message)

    async def _begin(self, rewriter: Rewriter, size: int | None) -> bool:
        """Send the head, or the refusal in its place; False if it was that.

        ``size`` is the body's, where it is known: the engine's head has the size of another body.
        """
        if rewriter.refusal is not None:
            await self._refuse(rewriter.refusal)
            return False
        self._has_begun = True
        headers = [(name, value) for name, value in self._head["headers"] if name != b"content-length"]
        if size is not None:
            headers.append((b"content-length", str(size).encode()))
        await self._send({**self._head, "headers": headers})
        return True

    async def _refuse(self, error: XinferError) -> None:
        self._has_begun = True
        self.is_over = True
        await send_json(self._send, error.status, error.body())
