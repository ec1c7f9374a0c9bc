"""The figures of a leg: plain arithmetic on its samples."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from xinfer.bench.counters import EngineUse
from xinfer.bench.gpus import GpuUse
from xinfer.bench.sample import Sample

BEHIND_S = 0.1
"""A generator whose requests are sent this much later than they were due did not keep to its rate."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How values are spread, in milliseconds."""

    p50: float
    p90: float
    p99: float
    mean: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Spread | None:
        """Of times in seconds; None if there are none."""
        ordered = sorted(1000 * second for second in seconds)
        if not ordered:
            return None
        p50, p90, p99 = (percentile(ordered, share) for share in (0.5, 0.9, 0.99))
        return cls(p50, p90, p99, mean=statistics.fmean(ordered))


@dataclass(frozen=True, slots=True)
class CpuCost:
    """What one unit of work took of some processes' CPU time."""

    seconds: float
    us_per_chunk: float | None
    ms_per_request: float | None


@dataclass(frozen=True, slots=True)
class Leg:
    """Some requests to one server at one level, and what was read off the processes around them."""

    samples: Sequence[Sample]
    wall_s: float
    own_cpu_s: float
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    engines: EngineUse | None = None
    gpus: Mapping[str, GpuUse] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a leg says of a server. Requests that failed count as errors and nowhere else."""

    requests: float
    errors: Mapping[str, int]
    window_s: float
    """From the first request's start to the last one's end."""
    requests_per_s: float
    tokens_per_s: float
    prompt_tokens: float | None
    """On average, as the server counts them; None if it does not."""
    completion_tokens: float | None
    chunks: float
    """Events with content."""
    ttft_ms: Spread | None
    ttft_later_ms: Spread | None
    """Of all turns of a conversation but the first."""
    ttft_p50_ms_by_turn: tuple[float | None, ...]
    itl_ms: Spread | None
    """Gaps between events with content."""
    e2e_ms: Spread | None
    own_cpu_share: float
    """Of one core, by the generator."""
    late_p99_ms: float
    behind: bool
    cpu: Mapping[str, CpuCost]
    engines: EngineUse | None
    """None if no engines are known."""
    gpus: Mapping[str, GpuUse]
    """Of the generator's machine, by index; empty if it has none."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the sorted values are, in between two if need be."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def figures(leg: Leg) -> Figures:
    good = [sample for sample in leg.samples if sample.failure is None]
    chunks = sum(len(sample.content_s) for sample in good)
    window_s = _window_s(leg.samples)
    if leg.samples:
        late_s = percentile(sorted(sample.late_s for sample in leg.samples), 0.99)
    else:
        late_s = 0.0
    return Figures(
        requests=len(good),
        errors=dict(Counter(sample.failure.kind for sample in leg.samples if sample.failure)),
        window_s=window_s,
        requests_per_s=_per(len(good), window_s) or 0.0,
        tokens_per_s=_per(sum(sample.tokens for sample in good), window_s) or 0.0,
        prompt_tokens=mean(sample.prompt_tokens for sample in good),
        completion_tokens=mean(sample.completion_tokens for sample in good),
        chunks=chunks,
        ttft_ms=Spread.of(_ttfts_s(good)),
        ttft_later_ms=Spread.of(_ttfts_s(sample for sample in good if sample.turn > 0)),
        ttft_p50_ms_by_turn=_ttft_p50_ms_by_turn(good),
        itl_ms=Spread.of(gap for sample in good for gap in sample.gaps_s),
        e2e_ms=Spread.of(sample.ended_s - sample.started_s for sample in good),
        own_cpu_share=_per(leg.own_cpu_s, leg.wall_s) or 0.0,
        late_p99_ms=1000 * late_s,
        behind=late_s > BEHIND_S,
        cpu={name: _cost(seconds, chunks, len(good)) for name, seconds in leg.cpu_s.items()},
        engines=leg.engines,
        gpus=leg.gpus,
    )


def mean(values: Iterable[float | None]) -> float | None:
    """Of those that are there; None if none is."""
    there = [value for value in values if value is not None]
    if there:
        return statistics.fmean(there)
    return None


def median(values: Iterable[float | None]) -> float | None:
    """Of those that are there; None if none is."""
    there = [value for value in values if value is not None]
    if there:
        return statistics.median(there)
    return None


def _window_s(samples: Sequence[Sample]) -> float:
    if not samples:
        return 0.0
    return max(sample.ended_s for sample in samples) - min(sample.started_s for sample in samples)


def _ttfts_s(samples: Iterable[Sample]) -> list[float]:
    return [sample.ttft_s for sample in samples if sample.ttft_s is not None]


def _ttft_p50_ms_by_turn(samples: Sequence[Sample]) -> tuple[float | None, ...]:
    """As many as there are turns; None for one of which no answer streamed."""
    by_turn: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_turn[sample.turn].append(sample)
    turns = range(max(by_turn, default=-1) + 1)
    return tuple(median(1000 * ttft_s for ttft_s in _ttfts_s(by_turn[turn])) for turn in turns)


def _per(amount: float, of: float) -> float | None:
    if of:
        return amount / of
    return None


def _cost(seconds: float, chunks: int, requests: int) -> CpuCost:
    return CpuCost(seconds, _per(1e6 * seconds, chunks), _per(1e3 * seconds, requests))
