"""How fast requests without a valid key are refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_AT_ONCE_S = 0.25
_LONGEST_WAIT_S = 10.0
_MOST_WAITING = 1_000


class RefusalPace:
    """Refusals go out one after the other, ``per_s`` of them a second; one that comes too early waits. 0 has none wait.

    Who tries keys as fast as they are refused would otherwise take the processor from everybody else, and in bursts if so many a
    second went out as they came: only those of a quarter of a second may. One that waits costs a connection and little more.
    Refusals are not told apart by address: behind a proxy all have the same. This is the leaky bucket of ITU-T I.371 (GCRA).
    """

    def __init__(self, per_s: int, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._interval_s = 1 / per_s if per_s else 0.0
        self._early_s = max(0.0, _AT_ONCE_S - self._interval_s)
        self._next = now()
        self._waiting = 0

    def delay_s(self) -> float:
        """How long the refusal that is next has to wait, in seconds."""
        if not self._interval_s or self._waiting >= _MOST_WAITING:
            # With as many as that waiting, another one would rather cost memory.
            return 0.0
        now = self._now()
        turn = max(self._next, now)
        # Those who leave before their turn must not put it off for everybody after them.
        latest = now + self._early_s + _LONGEST_WAIT_S
        self._next = min(turn + self._interval_s, latest)
        return max(0.0, turn - self._early_s - now)

    async def wait(self) -> None:
        """Return when the next refusal may go out."""
        delay_s = self.delay_s()
        if not delay_s:
            return
        self._waiting += 1
        try:
            await asyncio.sleep(delay_s)
        finally:
            self._waiting -= 1
