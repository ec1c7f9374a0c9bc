"""The metrics of a leg: plain arithmetic on its samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from xinfer.bench.gpus import GpuUse
from xinfer.bench.sample import Failure, Sample
from xinfer.bench.stats import Latency, mean, median, percentile, ratio, values_of

BEHIND_S = 0.1
"""A generator that sends its requests this much later than they were due does not keep to its rate."""


@dataclass(frozen=True, slots=True)
class CpuCost:
    """CPU time of some processes, in total and per unit of work."""

    seconds: float
    us_per_chunk: float | None
    ms_per_request: float | None


@dataclass(frozen=True, slots=True)
class EngineUse:
    """What the engines of a server counted during a leg."""

    cache_hit_rate: float | None = None
    """Share of the prompts' tokens that were found in prefix caches, of all engines together."""
    busiest_share: float | None = None
    """Share of the prompts' tokens that went to the engine with the most of them; None with one engine."""
    prompt_tokens: Mapping[str, float] = field(default_factory=dict)
    """Of each engine that counts them, found in its cache or not."""


@dataclass(frozen=True, slots=True)
class Leg:
    """Some requests to one server at one level, and what was measured of the processes around them."""

    samples: Sequence[Sample]
    wall_s: float
    own_cpu_s: float
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    engines: EngineUse | None = None
    gpus: Mapping[str, GpuUse] = field(default_factory=dict)

    @property
    def succeeded(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.failure is None]

    @property
    def failures(self) -> list[Failure]:
        return values_of(self.samples, "failure")

    @property
    def window_s(self) -> float:
        """From the first request's start to the last one's end."""
        if not self.samples:
            return 0.0
        starts_s: list[float] = values_of(self.samples, "started_s")
        ends_s: list[float] = values_of(self.samples, "ended_s")
        return max(ends_s) - min(starts_s)

    @property
    def late_p99_s(self) -> float:
        """How long after their arrival the requests were sent."""
        if not self.samples:
            return 0.0
        return percentile(sorted(values_of(self.samples, "late_s")), 0.99)


@dataclass(frozen=True, slots=True)
class LegMetrics:
    """The metrics of one leg. Failed requests count as errors and in nothing else."""

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
    ttft_ms: Latency | None
    ttft_later_ms: Latency | None
    """Of all turns of a conversation but the first."""
    ttft_p50_ms_by_turn: tuple[float | None, ...]
    itl_ms: Latency | None
    """Gaps between events with content."""
    e2e_ms: Latency | None
    own_cpu_share: float
    """Of one core, by the generator."""
    late_p99_ms: float
    behind: bool
    cpu: Mapping[str, CpuCost]
    engines: EngineUse | None
    """None if no engines are known."""
    gpus: Mapping[str, GpuUse]
    """Of the generator's machine, by index; empty if it has none."""

    @classmethod
    def of(cls, leg: Leg) -> LegMetrics:
        good = leg.succeeded
        later = [sample for sample in good if sample.turn > 0]
        chunks = sum(values_of(good, "chunks"))
        window_s = leg.window_s
        return cls(
            requests=len(good),
            errors=dict(Counter(values_of(leg.failures, "kind"))),
            window_s=window_s,
            requests_per_s=ratio(len(good), window_s) or 0.0,
            tokens_per_s=ratio(sum(values_of(good, "tokens")), window_s) or 0.0,
            prompt_tokens=mean(values_of(good, "prompt_tokens")),
            completion_tokens=mean(values_of(good, "completion_tokens")),
            chunks=chunks,
            ttft_ms=Latency.of(values_of(good, "ttft_s")),
            ttft_later_ms=Latency.of(values_of(later, "ttft_s")),
            ttft_p50_ms_by_turn=_ttft_p50_ms_by_turn(good),
            itl_ms=Latency.of(_gaps_s(good)),
            e2e_ms=Latency.of(values_of(good, "e2e_s")),
            own_cpu_share=ratio(leg.own_cpu_s, leg.wall_s) or 0.0,
            late_p99_ms=1000 * leg.late_p99_s,
            behind=leg.late_p99_s > BEHIND_S,
            cpu=_cpu_costs(leg.cpu_s, chunks, len(good)),
            engines=leg.engines,
            gpus=leg.gpus,
        )


def _gaps_s(samples: Iterable[Sample]) -> list[float]:
    gaps_s: list[float] = []
    for sample in samples:
        gaps_s.extend(sample.gaps_s)
    return gaps_s


def _ttft_p50_ms_by_turn(samples: Iterable[Sample]) -> tuple[float | None, ...]:
    """One value per turn; None for a turn of which no response streamed."""
    ttfts_ms: dict[int, list[float]] = defaultdict(list)
    last_turn = -1
    for sample in samples:
        last_turn = max(last_turn, sample.turn)
        if sample.ttft_s is not None:
            ttfts_ms[sample.turn].append(1000 * sample.ttft_s)
    return tuple(median(ttfts_ms[turn]) for turn in range(last_turn + 1))


def _cpu_costs(cpu_s: Mapping[str, float], chunks: int, requests: int) -> dict[str, CpuCost]:
    costs: dict[str, CpuCost] = {}
    for name, seconds in cpu_s.items():
        costs[name] = CpuCost(seconds, ratio(1e6 * seconds, chunks), ratio(1e3 * seconds, requests))
    return costs
