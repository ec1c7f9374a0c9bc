"""How fast requests without a valid key are refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from supervisor.access.limits import Bucket

_WAIT_S = 1.0
_MOST_WAITING = 1_000


class RefusalPace:
    """Up to ``per_s`` refusals a second go out at once; each further one waits for a second. 0 has none wait.

    Who tries keys as fast as they are refused would otherwise take the processor from everybody else. One that waits costs a
    connection and little more. Refusals are not told apart by address: behind a proxy all have the same.
    """

    def __init__(self, per_s: int, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._bucket = Bucket(60 * per_s, now(), holds_s=1) if per_s else None
        self._waiting = 0

    def delay_s(self) -> float:
        """How long the refusal that is next has to wait, in seconds."""
        if self._bucket is None:
            return 0.0
        self._bucket.fill(self._now())
        if self._bucket.level < 1:
            # With as many as that waiting, another one would rather cost memory.
            return _WAIT_S if self._waiting < _MOST_WAITING else 0.0
        self._bucket.level -= 1
        return 0.0

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
