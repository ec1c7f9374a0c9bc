"""What a supervisor has counted of a model's requests, and how it uses the model, as it reports them to the registry."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field

DURATION_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
FIRST_TOKEN_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Histogram:
    """``counts`` has one number per bucket: values up to each of ``bounds``, and in the last one those above all of them.

    The buckets are not cumulative, unlike those that Prometheus reads: so that an observation changes one number only.
    """

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: Histogram) -> None:
        """Count the values of ``other`` as well; both have the same bounds."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """What one replica has got."""

    requests: int = 0
    """Requests sent there, repeated ones and those under way included."""
    in_flight: int = 0


@dataclass(slots=True)
class ModelMetrics:
    """Counters of one model's requests. Plain numbers, since every request adds to them."""

    requests: int = 0
    """Requests that have ended, failed ones included."""
    errors: int = 0
    """Requests that failed, or broke off, for a reason that was not the caller's."""
    refused: int = 0
    """Requests that no replica took, since each had as many as it may have."""
    resumed: int = 0
    """Streams that another replica has gone on with."""
    in_flight: int = 0
    duration: Histogram = field(default_factory=lambda: Histogram(DURATION_BOUNDS_S))
    """Seconds until the end of the response."""
    time_to_first_token: Histogram = field(default_factory=lambda: Histogram(FIRST_TOKEN_BOUNDS_S))
    """Seconds until the first token; of streams only, since a whole response begins when its last token is there."""
    time_to_response: Histogram = field(default_factory=lambda: Histogram(FIRST_TOKEN_BOUNDS_S))
    """Seconds until the first byte of the engine's response, streamed or not."""
    replicas: dict[str, ReplicaLoad] = field(default_factory=dict)
    """By replica; of those that the model has now."""

    def add(self, other: ModelMetrics, *, with_in_flight: bool = True) -> None:
        """Count the requests of ``other`` as well."""
        self.requests += other.requests
        self.errors += other.errors
        self.refused += other.refused
        self.resumed += other.resumed
        if with_in_flight:
            self.in_flight += other.in_flight
        self.duration.add(other.duration)
        self.time_to_first_token.add(other.time_to_first_token)
        self.time_to_response.add(other.time_to_response)
        for name, load in other.replicas.items():
            known = self.replicas.get(name, ReplicaLoad())
            in_flight = known.in_flight
            if with_in_flight:
                in_flight += load.in_flight
            self.replicas[name] = ReplicaLoad(known.requests + load.requests, in_flight)


@dataclass(frozen=True, slots=True)
class Usage:
    """How one supervisor uses one model."""

    in_flight: int = 0
    """Requests under way from there."""
    idle_s: float = math.inf
    """Seconds since the last one ended; infinite if there was none."""
