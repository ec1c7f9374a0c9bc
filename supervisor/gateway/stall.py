"""Ends a copy in which one side keeps the other waiting for too long."""

from __future__ import annotations

import asyncio
from types import TracebackType


class StallGuard:
    """Raises ``TimeoutError`` out of its block when the engine, or the client, has stood still for its limit in seconds.

    It is told twice per chunk whose turn it is, so that only notes the time; one timer looks at the note and is set again when
    it fires.
    """

    __slots__ = ("_client_s", "_engine_s", "_limit_s", "_loop", "_since", "_timeout", "_timer", "client_is_due")

    def __init__(self, engine_s: float, client_s: float) -> None:
        self._engine_s = engine_s
        self._client_s = client_s
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    def engine(self) -> None:
        """From now on it is the engine that is waited for."""
        self.client_is_due = False
        self._limit_s = self._engine_s
        self._since = self._loop.time()

    def end(self) -> None:
        """Raise out of the block now, whoever is waited for."""
        self._timeout.reschedule(self._loop.time())

    def client(self) -> None:
        """From now on it is the client that is waited for."""
        self.client_is_due = True
        self._limit_s = self._client_s
        self._since = self._loop.time()

    async def __aenter__(self) -> StallGuard:
        self._loop = asyncio.get_running_loop()
        await self._timeout.__aenter__()
        self.engine()
        self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, traceback)

    def _look(self) -> None:
        now = self._loop.time()
        due = self._since + self._limit_s
        if now >= due:
            self._timeout.reschedule(now)
            return
        next_look = min(due, now + min(self._engine_s, self._client_s))
        self._timer = self._loop.call_at(next_look, self._look)
