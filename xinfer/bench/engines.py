"""The vLLM engines behind a server: what their counters gained during a leg."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter

from xinfer.bench.metrics import EngineUse
from xinfer.bench.sender import Sender
from xinfer.bench.stats import ratio
from xinfer.errors import Unavailable

SETTLE_S = 1.0
"""How long counters are read until they stand still: an engine counts a moment after it has responded."""
_PERIOD_S = 0.2
_READ_TIMEOUT_S = 5.0

Counts = Mapping[str, float]
"""Counters of one engine, in tokens; one that it does not have is left out."""
Reading = Mapping[str, Counts]
"""The counters of every engine, by its address."""

_TOKENS = "prompt_tokens"
_QUERIES = "prefix_cache_queries"
_HITS = "prefix_cache_hits"
_NAMES = (_TOKENS, _QUERIES, _HITS)
_VALUE = r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_SAMPLE = re.compile(rf"^vllm:((?:{'|'.join(_NAMES)})(?:_total)?)(?:\{{.*\}})? +({_VALUE})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Engines:
    """vLLM engines, by their addresses; there may be none."""

    sender: Sender
    urls: tuple[str, ...] = ()

    async def check(self) -> None:
        """Raise Unavailable if an engine cannot be reached."""
        # Before the run: it takes minutes, and would end without the metrics that it was made for.
        for url in self.urls:
            if await self._page(url) is None:
                raise Unavailable(
                    f"No engine answers at {url}; `xinfer describe UID` shows the addresses of a model's."
                )

    async def settled(self) -> Reading:
        """The counters once two readings agree, or the last reading within ``SETTLE_S``."""
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
        """What the counters gained since a reading; None if there are no engines."""
        if self.urls:
            return use(before, await self.settled())
        return None

    async def _read(self) -> Reading:
        counters = await asyncio.gather(*map(self._counts, self.urls))
        return dict(zip(self.urls, counters, strict=True))

    async def _counts(self, url: str) -> Counts:
        # An engine that goes away costs its own metrics and not the run.
        return counts(await self._page(url) or "")

    async def _page(self, url: str) -> str | None:
        return await self.sender.page(f"{url}/metrics", _READ_TIMEOUT_S)


def counts(text: str) -> Counts:
    """The counters on an engine's ``/metrics`` page, each summed over its labels."""
    sums: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        sums[name] = sums.get(name, 0.0) + float(value)
    found: dict[str, float] = {}
    for name in _NAMES:
        # Older versions of vLLM have the names without "_total".
        total = sums.get(f"{name}_total", sums.get(name))
        if total is not None:
            found[name] = total
    return found


def use(before: Reading, after: Reading) -> EngineUse:
    """What the counters gained between two readings. A sum is None if one of the engines lacks the counter."""
    gained = {url: _gained(before[url], after[url]) for url in before}
    tokens: dict[str, float] = {}
    for url, each in gained.items():
        if _TOKENS in each:
            tokens[url] = each[_TOKENS]
    busiest = None
    if 1 < len(tokens) == len(gained):
        busiest = max(tokens.values())
    return EngineUse(
        cache_hit_rate=ratio(_sum(_HITS, gained.values()), _sum(_QUERIES, gained.values())),
        busiest_share=ratio(busiest, sum(tokens.values())),
        prompt_tokens=tokens,
    )


def _gained(before: Counts, after: Counts) -> Counts:
    gained: dict[str, float] = {}
    for name, value in before.items():
        # A counter that went back is that of an engine that was restarted.
        if after.get(name, -1.0) >= value:
            gained[name] = after[name] - value
    return gained


def _sum(name: str, engines: Iterable[Counts]) -> float | None:
    total = 0.0
    for each in engines:
        if name not in each:
            return None
        total += each[name]
    return total
