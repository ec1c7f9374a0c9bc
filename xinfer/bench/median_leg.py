"""The typical leg of several alike: medians of their figures, and all of their errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from itertools import zip_longest

from xinfer.bench.counters import EngineUse
from xinfer.bench.figures import CpuCost, Figures, Spread, median
from xinfer.bench.gpus import GpuUse


def typical(legs: Sequence[Figures]) -> Figures:
    """One leg whose every number is the median of theirs; errors are added up."""
    return Figures(
        requests=_number(legs, "requests"),
        errors=dict(sum((Counter(leg.errors) for leg in legs), Counter())),
        window_s=_number(legs, "window_s"),
        requests_per_s=_number(legs, "requests_per_s"),
        tokens_per_s=_number(legs, "tokens_per_s"),
        prompt_tokens=median(leg.prompt_tokens for leg in legs),
        completion_tokens=median(leg.completion_tokens for leg in legs),
        chunks=_number(legs, "chunks"),
        ttft_ms=_spread([leg.ttft_ms for leg in legs]),
        ttft_later_ms=_spread([leg.ttft_later_ms for leg in legs]),
        ttft_p50_ms_by_turn=tuple(median(turn) for turn in zip_longest(*(leg.ttft_p50_ms_by_turn for leg in legs))),
        itl_ms=_spread([leg.itl_ms for leg in legs]),
        e2e_ms=_spread([leg.e2e_ms for leg in legs]),
        own_cpu_share=_number(legs, "own_cpu_share"),
        late_p99_ms=_number(legs, "late_p99_ms"),
        behind=any(leg.behind for leg in legs),
        cpu=_cpu(legs),
        engines=_engines([leg.engines for leg in legs if leg.engines is not None]),
        gpus=_gpus(legs),
    )


def _number(legs: Sequence[Figures], name: str) -> float:
    return median(getattr(leg, name) for leg in legs) or 0.0


def _spread(spreads: Sequence[Spread | None]) -> Spread | None:
    there = [spread for spread in spreads if spread is not None]
    values = {part.name: median(getattr(spread, part.name) for spread in there) for part in fields(Spread)}
    if there:
        return Spread(**{name: value or 0.0 for name, value in values.items()})
    return None


def _cpu(legs: Sequence[Figures]) -> dict[str, CpuCost]:
    names = dict.fromkeys(name for leg in legs for name in leg.cpu)
    return {name: _cost([leg.cpu[name] for leg in legs if name in leg.cpu]) for name in names}


def _cost(costs: Sequence[CpuCost]) -> CpuCost:
    return CpuCost(
        seconds=median(cost.seconds for cost in costs) or 0.0,
        us_per_chunk=median(cost.us_per_chunk for cost in costs),
        ms_per_request=median(cost.ms_per_request for cost in costs),
    )


def _engines(uses: Sequence[EngineUse]) -> EngineUse | None:
    if not uses:
        return None
    urls = dict.fromkeys(url for each in uses for url in each.prompt_tokens)
    return EngineUse(
        cache_hit_rate=median(each.cache_hit_rate for each in uses),
        busiest_share=median(each.busiest_share for each in uses),
        prompt_tokens={url: median(each.prompt_tokens.get(url) for each in uses) or 0.0 for url in urls},
    )


def _gpus(legs: Sequence[Figures]) -> dict[str, GpuUse]:
    indexes = dict.fromkeys(index for leg in legs for index in leg.gpus)
    return {index: _gpu_use([leg.gpus[index] for leg in legs if index in leg.gpus]) for index in indexes}


def _gpu_use(uses: Sequence[GpuUse]) -> GpuUse:
    return GpuUse(
        busy_share=median(use.busy_share for use in uses),
        memory_peak_mib=median(use.memory_peak_mib for use in uses),
    )
