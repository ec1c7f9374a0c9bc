"""What several legs say together: medians over rounds, and what one server adds to the other in each pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest
from typing import Any, Literal, NamedTuple, TypeVar

from xinfer.bench.gpus import GpuUse
from xinfer.bench.metrics import CpuCost, EngineUse, LegMetrics
from xinfer.bench.stats import Latency, Range, by_key, median, medians, ratio, values_of

_Numbers = TypeVar("_Numbers", Latency, CpuCost, GpuUse)


@dataclass(frozen=True, slots=True)
class Pair:
    """A against B in one round. A metric that one of them lacks is None."""

    tokens_per_s_ratio: float | None
    requests_per_s_ratio: float | None
    ttft_p50_added_ms: float | None
    ttft_p50_added_percent: float | None
    ttft_p99_added_ms: float | None
    ttft_p99_added_percent: float | None
    itl_p50_added_ms: float | None
    itl_p50_added_percent: float | None
    e2e_p50_added_ms: float | None
    e2e_p50_added_percent: float | None


def pair(a: LegMetrics, b: LegMetrics) -> Pair:
    """What A adds to B in one round."""
    ttft_p50 = _added(a.ttft_ms, b.ttft_ms, "p50")
    ttft_p99 = _added(a.ttft_ms, b.ttft_ms, "p99")
    itl_p50 = _added(a.itl_ms, b.itl_ms, "p50")
    e2e_p50 = _added(a.e2e_ms, b.e2e_ms, "p50")
    return Pair(
        tokens_per_s_ratio=ratio(a.tokens_per_s, b.tokens_per_s),
        requests_per_s_ratio=ratio(a.requests_per_s, b.requests_per_s),
        ttft_p50_added_ms=ttft_p50.ms,
        ttft_p50_added_percent=ttft_p50.percent,
        ttft_p99_added_ms=ttft_p99.ms,
        ttft_p99_added_percent=ttft_p99.percent,
        itl_p50_added_ms=itl_p50.ms,
        itl_p50_added_percent=itl_p50.percent,
        e2e_p50_added_ms=e2e_p50.ms,
        e2e_p50_added_percent=e2e_p50.percent,
    )


def ranges(pairs: Sequence[Pair]) -> dict[str, Range]:
    """Median and extremes of each metric that any pair has."""
    found: dict[str, Range] = {}
    for metric in fields(Pair):
        # Of the pairs' own differences, not the difference of two medians: the legs of a pair run one after the
        # other, so a drift of the machine from pair to pair is in both.
        values = Range.of(values_of(pairs, metric.name))
        if values:
            found[metric.name] = values
    return found


class _Added(NamedTuple):
    ms: float | None
    percent: float | None


def _added(a: Latency | None, b: Latency | None, share: Literal["p50", "p99"]) -> _Added:
    """The difference in milliseconds, and in percent of B's own latency."""
    if a is None or b is None:
        return _Added(None, None)
    base: float = getattr(b, share)
    added: float = getattr(a, share) - base
    return _Added(added, ratio(100 * added, base))


def median_leg(legs: Sequence[LegMetrics]) -> LegMetrics:
    """One leg whose every number is the median of theirs; errors are added up."""
    return LegMetrics(
        requests=_median(legs, "requests"),
        errors=_errors(legs),
        window_s=_median(legs, "window_s"),
        requests_per_s=_median(legs, "requests_per_s"),
        tokens_per_s=_median(legs, "tokens_per_s"),
        prompt_tokens=median(values_of(legs, "prompt_tokens")),
        completion_tokens=median(values_of(legs, "completion_tokens")),
        chunks=_median(legs, "chunks"),
        ttft_ms=_latency(legs, "ttft_ms"),
        ttft_later_ms=_latency(legs, "ttft_later_ms"),
        ttft_p50_ms_by_turn=tuple(map(median, zip_longest(*values_of(legs, "ttft_p50_ms_by_turn")))),
        itl_ms=_latency(legs, "itl_ms"),
        e2e_ms=_latency(legs, "e2e_ms"),
        own_cpu_share=_median(legs, "own_cpu_share"),
        late_p99_ms=_median(legs, "late_p99_ms"),
        # Not a median: one leg that fell behind its rate is enough for a warning.
        behind=any(values_of(legs, "behind")),
        cpu=_medians_by_name(values_of(legs, "cpu")),
        engines=_engines(values_of(legs, "engines")),
        gpus=_medians_by_name(values_of(legs, "gpus")),
    )


def _median(legs: Sequence[LegMetrics], name: str) -> float:
    return median(values_of(legs, name)) or 0.0


def _errors(legs: Sequence[LegMetrics]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for leg in legs:
        total.update(leg.errors)
    return dict(total)


def _latency(legs: Sequence[LegMetrics], name: str) -> Latency | None:
    latencies: list[Latency] = values_of(legs, name)
    if not latencies:
        return None
    return _medians_of_fields(latencies)


def _engines(uses: Sequence[EngineUse]) -> EngineUse | None:
    if not uses:
        return None
    return EngineUse(
        cache_hit_rate=median(values_of(uses, "cache_hit_rate")),
        busiest_share=median(values_of(uses, "busiest_share")),
        prompt_tokens=medians(values_of(uses, "prompt_tokens")),
    )


def _medians_by_name(legs: Iterable[Mapping[str, _Numbers]]) -> dict[str, _Numbers]:
    """The medians under each name, over the legs that have it."""
    found: dict[str, _Numbers] = {}
    for name, items in by_key(legs).items():
        found[name] = _medians_of_fields(items)
    return found


def _medians_of_fields(items: Sequence[_Numbers]) -> _Numbers:
    """One item each of whose fields is the median of theirs."""
    values: dict[str, Any] = {}
    for part in fields(items[0]):
        values[part.name] = median(values_of(items, part.name))
    return type(items[0])(**values)
