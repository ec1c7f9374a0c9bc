"""What a supervisor has counted of a model's requests, and how it uses the model, as it reports them to the registry."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

_Key = TypeVar("_Key", bound=StrEnum)
DURATION_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
FIRST_TOKEN_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
INTER_TOKEN_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
STAGE_BOUNDS_S = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    REFUSED = "refused"  # 4xx: the caller's own fault
    OVERLOADED = "overloaded"  # 429
    FAILED = "failed"  # 5xx, before the first byte
    BROKEN = "broken"  # a stream that ended with an error event
    CANCELLED = "cancelled"  # the client left


class RoutingReason(StrEnum):
    """Why a request went to its replica."""

    ONLY = "only"  # no other one could take it
    PREFIX = "prefix"  # it has seen the prompt's beginning, or another request of the session
    LEAST_BUSY = "least_busy"
    FASTEST = "fastest"  # others were far slower to their first tokens
    ROUND_ROBIN = "round_robin"


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


@dataclass(frozen=True, slots=True)
class ClusterLoad:
    """What all supervisors together have in flight, as the registry tells each of them."""

    supervisors: int = 1
    in_flight: Mapping[str, int] = field(default_factory=dict)
    """By replica, where there are any; empty for the only supervisor."""
    moved: tuple[tuple[int, str], ...] = ()
    """Conversations by ``PromptKey.home``, with the replica that another supervisor has lately given each to."""


@dataclass(slots=True)
class RoutingCounts:
    """How a model's requests were given to its replicas."""

    reasons: dict[RoutingReason, int] = field(default_factory=lambda: dict.fromkeys(RoutingReason, 0))
    blocks: int = 0
    """Blocks of all prompts that were compared with what replicas have seen."""
    known_blocks: int = 0
    """Those of them that the chosen replica had seen."""

    def add(self, other: RoutingCounts) -> None:
        """Count the requests of ``other`` as well."""
        _add_counts(self.reasons, other.reasons)
        self.blocks += other.blocks
        self.known_blocks += other.known_blocks


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
    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    retries: int = 0
    """Attempts after the first one, of requests whose replica was lost before the first byte."""
    inter_token: Histogram = field(default_factory=lambda: Histogram(INTER_TOKEN_BOUNDS_S))
    """Seconds between two chunks of a stream, as they come from the engine."""
    wake_wait: Histogram = field(default_factory=lambda: Histogram(DURATION_BOUNDS_S))
    """Seconds that requests have waited for a sleeping model."""
    routing: RoutingCounts = field(default_factory=RoutingCounts)

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
        _add_counts(self.outcomes, other.outcomes)
        self.retries += other.retries
        self.inter_token.add(other.inter_token)
        self.wake_wait.add(other.wake_wait)
        self.routing.add(other.routing)
        for name, load in other.replicas.items():
            known = self.replicas.get(name, ReplicaLoad())
            in_flight = known.in_flight
            if with_in_flight:
                in_flight += load.in_flight
            self.replicas[name] = ReplicaLoad(known.requests + load.requests, in_flight)


class LaunchOutcome(StrEnum):
    """How a launch ended; waking up is none."""

    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ReplicaEnd(StrEnum):
    """How a replica ended."""

    STOPPED = "stopped"  # on purpose
    FAILED = "failed"  # it said so itself
    LOST = "lost"  # nobody reaches it


@dataclass(slots=True)
class ModelLife:
    """Counters of what has happened to one model since the registry started."""

    launches: dict[LaunchOutcome, int] = field(default_factory=lambda: dict.fromkeys(LaunchOutcome, 0))
    stages: dict[str, Histogram] = field(default_factory=dict)
    """Seconds that replicas have spent in each stage on their way up, by ``ReplicaStage``."""
    sleeps: int = 0
    wakes: int = 0
    scaled_up: int = 0
    scaled_down: int = 0
    replica_ends: dict[ReplicaEnd, int] = field(default_factory=lambda: dict.fromkeys(ReplicaEnd, 0))


def _add_counts(mine: dict[_Key, int], others: Mapping[_Key, int]) -> None:
    for key, count in others.items():
        mine[key] = mine.get(key, 0) + count


@dataclass(frozen=True, slots=True)
class Usage:
    """How one supervisor uses one model."""

    in_flight: int = 0
    """Requests under way from there."""
    idle_s: float = math.inf
    """Seconds since the last one ended; infinite if there was none."""
