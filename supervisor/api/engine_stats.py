"""What engines say of themselves, asked only while somebody looks: tokens per second, KV cache and queue."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import aiohttp

from xinfer.messages import ModelStatus

_TIMEOUT_S = 2.0
_AT_ONCE = 16
_FRESH_S = 2.0
# A rate over a longer time than this says nothing of now.
_OLDEST_S = 60.0
# Three lines of a page of a thousand: reading all of them as Prometheus does takes a hundred times as long.
_LINE = re.compile(
    rb"^vllm:(generation_tokens_total|kv_cache_usage_perc|num_requests_waiting)(?:\{[^\n]*?\})? ([0-9.eE+-]+)$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Of one engine, or the sum of several; the KV cache is that of the fullest one."""

    tokens: float = 0.0
    """Generated since its start."""
    kv_cache: float = 0.0
    """The share in use."""
    waiting: int = 0

    @classmethod
    def read(cls, page: bytes) -> EngineStats:
        """Of an engine's ``/metrics``."""
        tokens, kv_cache, waiting = 0.0, 0.0, 0
        for name, value in _LINE.findall(page):
            if name == b"generation_tokens_total":
                tokens += float(value)
            elif name == b"kv_cache_usage_perc":
                kv_cache = max(kv_cache, float(value))
            else:
                waiting += int(float(value))
        return cls(tokens, kv_cache, waiting)


@dataclass(frozen=True, slots=True)
class ModelEngines:
    """What the engines of one model do now."""

    tokens_per_s: float | None
    """None until it was asked for twice."""
    kv_cache: float
    waiting: int


class TokenRates:
    """Rates of counters that only grow, from one sample to the next. Times are of a clock that does not go back."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, float]] = {}

    def rate(self, engine: str, at: float, tokens: float) -> float | None:
        """Tokens per second since the sample before; None if that is too old, or if there is none."""
        before = self._before.get(engine)
        self._before[engine] = (at, tokens)
        if before is None or tokens < before[1] or not 0 < at - before[0] <= _OLDEST_S:
            return None
        return (tokens - before[1]) / (at - before[0])

    def keep(self, engines: Iterable[str]) -> None:
        """Forget all engines but these."""
        wanted = set(engines)
        self._before = {name: sample for name, sample in self._before.items() if name in wanted}


class EnginesOfModels:
    """Asks the engines of models, and remembers for two seconds what they said: many consoles cost what one does."""

    def __init__(self) -> None:
        self._rates = TokenRates()
        self._latest: dict[str, ModelEngines] = {}
        self._asked_at = -_FRESH_S
        self._lock = asyncio.Lock()

    async def latest(self, models: Mapping[str, ModelStatus]) -> Mapping[str, ModelEngines]:
        """By UID; a model of which no engine responds is left out."""
        async with self._lock:
            if time.monotonic() - self._asked_at >= _FRESH_S:
                self._latest = await self._ask(models)
                self._asked_at = time.monotonic()
            return self._latest

    async def _ask(self, models: Mapping[str, ModelStatus]) -> dict[str, ModelEngines]:
        engines: list[tuple[str, str]] = []
        for uid, model in models.items():
            engines += [(uid, str(report.address)) for report in model.targets]
        if not engines:
            return {}
        self._rates.keep(address for _, address in engines)
        turns = asyncio.Semaphore(_AT_ONCE)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            pages = await asyncio.gather(*(_page(session, address, turns) for _, address in engines))
        found: dict[str, ModelEngines] = {}
        for (uid, address), page in zip(engines, pages, strict=True):
            if page is not None:
                found[uid] = self._with(found.get(uid), address, EngineStats.read(page))
        return found

    def _with(self, known: ModelEngines | None, address: str, stats: EngineStats) -> ModelEngines:
        rate = self._rates.rate(address, time.monotonic(), stats.tokens)
        if known is None:
            return ModelEngines(rate, stats.kv_cache, stats.waiting)
        rates = [each for each in (known.tokens_per_s, rate) if each is not None]
        return ModelEngines(
            sum(rates) if rates else None, max(known.kv_cache, stats.kv_cache), known.waiting + stats.waiting
        )


async def _page(session: aiohttp.ClientSession, address: str, turns: asyncio.Semaphore) -> bytes | None:
    """An engine's metrics; None if it does not respond in time."""
    try:
        async with turns, session.get(f"{address}/metrics") as response:
            return await response.read() if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError):
        return None
