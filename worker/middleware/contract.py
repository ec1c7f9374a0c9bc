"""The ASGI side: watches the two routes whose answers are reshaped, and lets everything else pass untouched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from worker.middleware.answers import StreamReshaper, reshape_answer
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
    """One answer on its way out. Which kind it is shows in its head."""

    def __init__(self, send: Send, *, chat: bool, merge_usage: bool) -> None:
        self._send, self._chat = send, chat
        self._stream = StreamReshaper(chat=chat, merge_usage=merge_usage)
        self._head: Message | None = None
        self._parts: list[bytes] = []
        self._passes = self._streams = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif self._passes or message["type"] != "http.response.body":
            await self._send(message)
        elif self._streams:
            await self._go_on(message)
        else:
            await self._collect(message)

    async def _begin(self, head: Message) -> None:
        kind = dict(head["headers"]).get(b"content-type", b"")
        self._streams = kind.startswith(b"text/event-stream")
        self._passes = head["status"] != 200 or not (self._streams or self._chat)
        if self._passes or self._streams:
            await self._send(head)
        else:
            self._head = head

    async def _go_on(self, message: Message) -> None:
        more = message.get("more_body", False)
        out = self._stream.feed(message.get("body", b""))
        if not more:
            out += self._stream.finish()
        if out or not more:
            await self._send({"type": "http.response.body", "body": out, "more_body": more})

    async def _collect(self, message: Message) -> None:
        self._parts.append(message.get("body", b""))
        if message.get("more_body", False) or self._head is None:
            return
        body = reshape_answer(b"".join(self._parts))
        headers = [(name, value) for name, value in self._head["headers"] if name != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**self._head, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
