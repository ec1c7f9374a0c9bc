"""Gives memory back to the system after a rush of requests.

A thousand open streams take some 30 MiB in small objects. Python's own allocator keeps nearly all of it for good, since one
object that lives on pins its whole arena; glibc's keeps it until it is asked to look for free pages (``malloc_trim(3)``). So
supervisors run on glibc's (``supervisor.nodes.ray_node``; docs/performance.md has what it costs), and this asks.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable

from supervisor.background import Background

_PERIOD_S = 2.0
# Requests at once; fewer are not worth a look.
_RUSH = 64


class MemoryTrimmer:
    """Trims when the requests in flight have fallen to less than half of what they were."""

    def __init__(self, in_flight: Callable[[], int], trim: Callable[[], object] | None = None) -> None:
        self._in_flight = in_flight
        self._trim = trim or _malloc_trim()
        self._peak = 0
        self._background = Background()

    def start(self) -> None:
        """Begin to look every two seconds."""
        self._background.spawn(self._run())

    async def stop(self) -> None:
        await self._background.stop()

    def look(self) -> None:
        """Trim if a rush is over."""
        now = self._in_flight()
        self._peak = max(self._peak, now)
        if self._peak >= _RUSH and now < self._peak / 2:
            self._peak = now
            self._trim()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_PERIOD_S)
            self.look()


def _malloc_trim() -> Callable[[], object]:
    """The C library's, after a collection that empties Python's free lists, which pin pages, too; nothing where there is none."""
    library = ctypes.CDLL(None)

    def trim() -> None:
        gc.collect()
        library.malloc_trim(0)

    if hasattr(library, "malloc_trim"):
        return trim
    return lambda: None
