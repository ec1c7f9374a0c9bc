"""Requests that carry an id of their caller's, and giving them up by it."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.types import Message, Receive

from worker.middleware.asgi import DISCONNECT

_LONGEST_MEMORY = 10_000
"""Ids that are refused at once; beyond it the oldest is forgotten."""


class Abortable:
    """One request: when it is given up, its handler hears that the client has left, as the engine knows how to take."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._given_up = asyncio.Event()

    @property
    def given_up(self) -> bool:
        """Whether nobody wants its answer any more."""
        return self._given_up.is_set()

    def give_up(self) -> None:
        self._given_up.set()

    async def receive(self) -> Message:
        reading = asyncio.ensure_future(self._receive())
        waiting = asyncio.ensure_future(self._given_up.wait())
        try:
            await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if self.given_up:
                return DISCONNECT
            return reading.result()
        finally:
            reading.cancel()
            waiting.cancel()


class AbortableRequests:
    """All such requests of one engine. Several may have the same id; they are given up together."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._requests: defaultdict[str, set[Abortable]] = defaultdict(set)
        self._refused_until: dict[str, float] = {}

    def abort(self, request_id: str, block_s: float) -> bool:
        """Give up the requests of that id, and refuse it for ``block_s`` seconds; False if there are none now."""
        if block_s > 0:
            self._refuse(request_id, self._clock() + block_s)
        found = self._requests.get(request_id, set())
        for request in found:
            request.give_up()
        return bool(found)

    @contextmanager
    def request(self, request_id: str, receive: Receive) -> Iterator[Abortable]:
        """A request while it is under way; given up from the start if its id is refused."""
        request = Abortable(receive)
        if self._refused_until.get(request_id, 0) > self._clock():
            request.give_up()
        self._requests[request_id].add(request)
        try:
            yield request
        finally:
            self._requests[request_id].discard(request)
            if not self._requests[request_id]:
                del self._requests[request_id]

    def _refuse(self, request_id: str, until: float) -> None:
        until = max(until, self._refused_until.pop(request_id, 0))
        self._refused_until[request_id] = until
        while len(self._refused_until) > _LONGEST_MEMORY or next(iter(self._refused_until.values())) <= self._clock():
            del self._refused_until[next(iter(self._refused_until))]
