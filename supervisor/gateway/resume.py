"""A stream that another replica goes on with when its own is lost. To the client it is one stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from supervisor.gateway.engine_errors import tells_of_lost_engine
from supervisor.gateway.upstream import UpstreamResponse
from supervisor.translate.resume import SentText
from xinfer.errors import XinferError
from xinfer.messages import ReplicaReport
from xinfer.wire import sse

_log = logging.getLogger("xinfer.gateway")


class StreamLost(aiohttp.ClientError):
    """The engine says itself that it is lost."""


@dataclass(frozen=True, slots=True)
class Rest:
    """The response of the replica that goes on."""

    replica: ReplicaReport
    response: UpstreamResponse
    tokens: int
    """How many it was sent of the response so far, which it counts as prompt."""


AskForRest = Callable[[ReplicaReport, SentText], Awaitable[Rest]]
"""Has another replica than the given one go on. Raises ``XinferError``, ``aiohttp.ClientError`` or ``TimeoutError``."""


class ResumingStream:
    """Reads a stream by whole events, keeps what it said, and has another replica go on, once, if the engine is lost.

    Once, since a request that makes engines fail must not travel through the cluster.
    """

    # Bytes may end in the middle of an event: none goes on before it is whole.
    first = b""

    def __init__(
        self,
        replica: ReplicaReport,
        response: UpstreamResponse,
        ask_for_rest: AskForRest,
        idle_timeout_s: float,
    ) -> None:
        self.replica = replica
        """The one that streams now."""
        self.content_type = response.content_type
        self._response = response
        self._ask_for_rest = ask_for_rest
        self._idle_timeout_s = idle_timeout_s
        self._unread = response.first
        self._splitter = sse.EventSplitter()
        self._sent = SentText()
        self._rest: Rest | None = None
        self._failure: StreamLost | None = None
        self._is_over = False

    @property
    def was_resumed(self) -> bool:
        return self._rest is not None

    def close(self) -> None:
        """Be done with it."""
        self._response.close()

    async def read(self) -> bytes:
        """The next events; empty at the end. Raises ``aiohttp.ClientError`` or ``TimeoutError`` if it cannot go on."""
        while not self._is_over:
            try:
                data = await self._receive()
            except (aiohttp.ClientError, TimeoutError) as failure:
                if self._sent.finished:
                    self._is_over = True
                    return self._done()
                if self._rest is not None or self._sent.is_thought:
                    raise
                await self._resume(failure)
                continue

            self._is_over = not data
            events = self._take(data)
            if events:
                return events
        return b""

    async def _receive(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        if self._unread:
            data = self._unread
            self._unread = b""
            return data
        async with asyncio.timeout(self._idle_timeout_s):
            return await self._response.read()

    async def _resume(self, failure: Exception) -> None:
        lost = self.replica
        try:
            self._rest = await self._ask_for_rest(lost, self._sent)
        except (XinferError, aiohttp.ClientError, TimeoutError) as why_not:
            _log.warning("a stream of %s cannot go on elsewhere: %s", lost.model_uid, why_not)
            raise failure from why_not

        _log.warning(
            "a stream of %s goes on at %s: %s was lost", lost.model_uid, self._rest.replica.replica, lost.replica
        )
        self._response.close()
        self.replica = self._rest.replica
        self._response = self._rest.response
        self._unread = self._rest.response.first
        self._splitter = sse.EventSplitter()
        self._failure = None

    def _take(self, data: bytes) -> bytes:
        """The events that ``data`` completes, as the client gets them."""
        events: list[bytes] = []
        for event in self._splitter.feed(data):
            if not event.startswith(sse.DATA) or event + sse.END == sse.DONE:
                events.append(event + sse.END)
                continue
            chunk = msgspec.json.decode(event[len(sse.DATA) :])
            if "error" in chunk and tells_of_lost_engine(chunk["error"]):
                self._failure = StreamLost("the engine is lost")
                break
            if self._rest is None:
                self._sent.add(chunk)
                events.append(event + sse.END)
            elif self._fit(chunk, self._rest.tokens):
                self._sent.add(chunk)
                events.append(sse.encode_event(chunk))
        return b"".join(events)

    def _fit(self, chunk: dict[str, Any], resent: int) -> bool:
        """Make ``chunk`` one of the stream that the client reads, in place; False if it says nothing new.

        ``resent`` tokens of its prompt are the response's.
        """
        chunk.update(self._sent.envelope)
        if usage := chunk.get("usage"):
            usage["prompt_tokens"] -= resent
            usage["completion_tokens"] += resent

        says = bool(usage)
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or choice
            if self._sent.envelope:
                delta.pop("role", None)
            text = delta.get("content") or delta.get("text") or delta.get("reasoning_content")
            says = says or bool(text) or choice.get("finish_reason") is not None
        return says

    def _done(self) -> bytes:
        """What ends the stream if the engine is lost between its last token and this."""
        if self._sent.is_chat:
            return sse.DONE
        return b""
