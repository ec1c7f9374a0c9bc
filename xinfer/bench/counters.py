"""What vLLM engines count of themselves, and what a leg added to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Counts = Mapping[str, float]
"""Counters of one engine, in tokens; one that it does not have is left out."""
Reading = Mapping[str, Counts]
"""The counters of every engine, by its address."""

_TOKENS, _QUERIES, _HITS = _NAMES = ("prompt_tokens", "prefix_cache_queries", "prefix_cache_hits")
_SAMPLE = re.compile(
    rf"^vllm:((?:{'|'.join(_NAMES)})(?:_total)?)(?:\{{.*\}})? +(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class EngineUse:
    """What a leg was to the engines that served it."""

    cache_hit_rate: float | None = None
    """The share of the prompts' tokens that were found in prefix caches, of all engines together."""
    busiest_share: float | None = None
    """The share of the prompts' tokens that the engine with the most of them had; None with one engine."""
    prompt_tokens: Mapping[str, float] = field(default_factory=dict)
    """Of each engine that counts them, found in its cache or not."""


def counts(text: str) -> Counts:
    """The counters in what an engine shows as ``/metrics``, each over all of its labels; older ones lack ``_total``."""
    sums: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        sums[name] = sums.get(name, 0.0) + float(value)
    found = {name: sums.get(f"{name}_total", sums.get(name)) for name in _NAMES}
    return {name: value for name, value in found.items() if value is not None}


def use(before: Reading, after: Reading) -> EngineUse:
    """What was added from one reading to the other. What one engine does not tell is not told of all."""
    added = {url: _added(before[url], after[url]) for url in before}
    tokens = {url: each[_TOKENS] for url, each in added.items() if _TOKENS in each}
    if 1 < len(tokens) == len(added):
        busiest = max(tokens.values())
    else:
        busiest = None
    return EngineUse(
        _ratio(_sum(_HITS, added.values()), _sum(_QUERIES, added.values())),
        _ratio(busiest, sum(tokens.values())),
        tokens,
    )


def _added(before: Counts, after: Counts) -> Counts:
    """Without a counter that went back: its engine began anew."""
    return {name: after[name] - value for name, value in before.items() if after.get(name, -1.0) >= value}


def _sum(name: str, engines: Iterable[Counts]) -> float | None:
    values = [counts.get(name) for counts in engines]
    if None in values:
        return None
    return sum(filter(None, values))


def _ratio(part: float | None, whole: float | None) -> float | None:
    if part is None or not whole:
        return None
    return part / whole
