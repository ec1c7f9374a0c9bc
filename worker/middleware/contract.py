"""The ASGI side: watches the two routes whose answers are reshaped, and lets everything else pass untouched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from worker.middleware.answers import StreamReshaper, encode, reshape_answer
from xinfer.wire import USAGE_HEADER, USAGE_MERGED

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_CHAT, _COMPLETIONS = "/v1/chat/completions", "/v1/completions"


class ContractMiddleware:
    """Reshapes successful answers of chat and text completions; ``x-xinfer-usage: merged`` asks for usage on the last chunk."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope.get("path")
        if scope["type"] != "http" or path not in (_CHAT, _COMPLETIONS):
            await self._app(scope, receive, send)
            return
        merge_usage = (USAGE_HEADER, USAGE_MERGED) in scope["headers"]
        await self._app(scope, receive, _Answer(send, chat=path == _CHAT, merge_usage=merge_usage))


class _Answer:
    """One answer on its way out. What becomes of its body is decided when its head is there."""

    def __init__(self, send: Send, *, chat: bool, merge_usage: bool) -> None:
        self._send, self._chat, self._merge_usage = send, chat, merge_usage
        self._body: Send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] == "http.response.body":
            await self._body(message)
        else:
            await self._send(message)

    async def _begin(self, head: Message) -> None:
        kind = dict(head["headers"]).get(b"content-type", b"")
        if head["status"] == 200 and kind.startswith(b"text/event-stream"):
            self._body = _Streamed(self._send, head, StreamReshaper(chat=self._chat, merge_usage=self._merge_usage))
        elif head["status"] == 200 and self._chat:
            self._body = _Whole(self._send, head)
        else:
            await self._send(head)


class _Streamed:
    """A stream. Its head waits for its first event: one that begins with an error is no stream but a plain error answer."""

    def __init__(self, send: Send, head: Message, reshaper: StreamReshaper) -> None:
        self._send, self._reshaper = send, reshaper
        self._head: Message | None = head
        self._refused = False

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
            head, self._head = self._head, None
            await self._send(head)
        await self._send({"type": "http.response.body", "body": out, "more_body": more})

    async def _refuse(self, error: dict[str, Any]) -> None:
        code = error.get("code")
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        await _send_json(self._send, {"status": status, "headers": []}, encode({"error": error}))


class _Whole:
    """An answer in one piece: collected, reshaped, sent."""

    def __init__(self, send: Send, head: Message) -> None:
        self._send, self._head = send, head
        self._parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        self._parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            await _send_json(self._send, self._head, reshape_answer(b"".join(self._parts)))


async def _send_json(send: Send, head: Message, body: bytes) -> None:
    kept = [(name, value) for name, value in head["headers"] if name not in (b"content-length", b"content-type")]
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": head["status"], "headers": kept + own})
    await send({"type": "http.response.body", "body": body, "more_body": False})
