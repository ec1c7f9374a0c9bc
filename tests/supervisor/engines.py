"""Engines that play one answer, for what the fake engine does not do."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope, Send


class Scripted:
    """An engine that plays pieces of one answer; ``None`` waits until ``go`` is set."""

    def __init__(
        self, *pieces: bytes | None, status: int = 200, kind: bytes = b"text/event-stream", size: int = 0
    ) -> None:
        self.pieces, self.status = pieces, status
        self.headers = [(b"content-type", kind)] + ([(b"content-length", b"%d" % size)] if size else [])
        self.go = asyncio.Event()
        self.asked: list[tuple[dict[bytes, bytes], bytes]] = []
        self.connections: set[tuple[str, int]] = set()
        self.sent_bytes = 0
        self.aborted = 0
        """Answers whose reader closed the connection before the end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        self.connections.add(tuple(scope["client"]))
        self.asked.append((dict(scope["headers"]), await _body(receive)))
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        playing, leaving = asyncio.create_task(self._play(send)), asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done():
                playing.result()
            else:
                self.aborted += 1
        finally:
            playing.cancel()
            leaving.cancel()

    async def _play(self, send: Send) -> None:
        for piece in self.pieces:
            if piece is None:
                await self.go.wait()
            else:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                self.sent_bytes += len(piece)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Flood(Scripted):
    """An engine that streams 64 KiB at a time as fast as they are taken: so many, or without an end."""

    def __init__(self, count: int = 10**9) -> None:
        super().__init__()
        self._count = count

    async def _play(self, send: Send) -> None:
        piece = b"x" * 65536
        for _ in range(self._count):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            self.sent_bytes += len(piece)
            await asyncio.sleep(0)  # to a client that has left, uvicorn sends without ever waiting
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Broken(Scripted):
    """A scripted engine whose connection breaks where the answer should end."""

    async def _play(self, send: Send) -> None:
        async def cut(message: Message) -> None:
            if not message["more_body"]:
                raise ConnectionAbortedError
            await send(message)

        await super()._play(cut)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes:
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    whole: bytes = body + message["body"]
    return whole
