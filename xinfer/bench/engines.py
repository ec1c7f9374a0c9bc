"""The engines behind a server, asked for their counters between legs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter

from xinfer.bench.counters import Counts, EngineUse, Reading, counts, use
from xinfer.bench.sender import Sender
from xinfer.errors import Unavailable

SETTLE_S = 1.0
"""An engine counts a moment after it has answered; longer than this is not waited for it."""
_PERIOD_S = 0.2
_READ_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Engines:
    """vLLM engines, by their addresses; there may be none."""

    sender: Sender
    urls: tuple[str, ...] = ()

    async def check(self) -> None:
        """Raise Unavailable if one cannot be reached: a run that ends without its figures is a waste."""
        for url in self.urls:
            if await self._page(url) is None:
                raise Unavailable(
                    f"No engine answers at {url}; `xinfer describe UID` shows the addresses of a model's."
                )

    async def settled(self) -> Reading:
        """What they have counted: two readings that agree, or the last one of the time that they are given."""
        if not self.urls:
            return {}
        end_s = perf_counter() + SETTLE_S
        before = None
        reading = await self._read()
        while reading != before and perf_counter() < end_s:
            await asyncio.sleep(_PERIOD_S)
            before = reading
            reading = await self._read()
        return reading

    async def use_since(self, before: Reading) -> EngineUse | None:
        """What was added to a reading until now; None if there are no engines."""
        if self.urls:
            return use(before, await self.settled())
        return None

    async def _read(self) -> Reading:
        pages = await asyncio.gather(*(self._counts(url) for url in self.urls))
        return dict(zip(self.urls, pages, strict=True))

    async def _counts(self, url: str) -> Counts:
        """Nothing of an engine that does not answer: its figures go, and the run goes on."""
        return counts(await self._page(url) or "")

    async def _page(self, url: str) -> str | None:
        return await self.sender.page(f"{url}/metrics", _READ_TIMEOUT_S)
