"""Which supervisors read a table, and how far each of them is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

_SILENCE_S = 6.0
"""A supervisor asks for the next table at least every five seconds; one that has been silent for longer is not waited for."""
_REACH_ALL_S = 1.0
"""One that hangs does not hold up everybody's changes for longer."""


class TableReaders:
    """The supervisors that ask for a table again and again, and say which version they act on.

    ``now`` gives seconds of any clock that does not go back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._heard: dict[str, tuple[int, float]] = {}
        self._changed = asyncio.Condition()

    async def hear(self, supervisor: str, version: int) -> None:
        """This supervisor acts on the table of ``version``."""
        self._heard[supervisor] = (version, self._now())
        async with self._changed:
            self._changed.notify_all()

    async def reach_all(self, version: int) -> None:
        """Return when every supervisor acts on the table of ``version`` or a later one, after a second at the latest."""
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REACH_ALL_S):
                    await self._changed.wait_for(lambda: self._all_have(version))

    def _all_have(self, version: int) -> bool:
        now = self._now()
        self._heard = {name: heard for name, heard in self._heard.items() if now - heard[1] < _SILENCE_S}
        return all(known >= version for known, _ in self._heard.values())
