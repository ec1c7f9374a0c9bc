"""The response to a streamed request, chunk by chunk, for the async client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Self

import aiohttp

from xinfer.client._async_failures import LOST, failure
from xinfer.client._sse import EventReader


class AsyncStream(AsyncIterator[dict[str, Any]]):
    """An async iterator of chunks that gives each as it arrives.

    The connection is closed, and the server stops generating, when the stream ends, fails, is closed or deleted.
    """

    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self._response = response
        self._url = url
        self._reader = EventReader()
        self._events = self._reader.feed(b"")
        # Not response.closed, which becomes true while the last pieces are still to be read.
        self._ended = False

    async def __anext__(self) -> dict[str, Any]:
        try:
            return await self._next()
        except LOST as error:
            await self.aclose()
            raise failure(self._url, error).error from error
        except BaseException:
            await self.aclose()
            raise

    async def _next(self) -> dict[str, Any]:
        while True:
            for event in self._events:
                return event
            if self._ended:
                raise StopAsyncIteration
            await self._refill()

    async def _refill(self) -> None:
        # readany gives what has arrived; a fixed size would wait for so many bytes and delay tokens.
        piece = await self._response.content.readany()
        if piece:
            self._events = self._reader.feed(piece)
        else:
            self._events = self._reader.end()
            self._ended = True

    async def aclose(self) -> None:
        """Let the connection go; nothing more comes. Harmless when done twice."""
        self._events = iter(())
        self._ended = True
        self._response.close()

    close = aclose

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._response.close()
