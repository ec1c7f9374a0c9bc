"""What is counted of requests, per model: plain numbers, since every request adds to them."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

from xinfer.errors import XinferError

DURATION_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
FIRST_BYTE_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_OVERLOADED = 429


@dataclass(slots=True)
class Histogram:
    """How many values were up to each of ``bounds``, and above the last."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def note(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: Histogram) -> None:
        """Count those of ``other`` as well."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


@dataclass(slots=True)
class ModelMetrics:
    requests: int = 0
    """Those that have ended, however they did."""
    errors: int = 0
    """Those that were not answered, or not to the end, through no fault of the caller's."""
    in_flight: int = 0
    duration: Histogram = field(default_factory=lambda: Histogram(DURATION_BOUNDS_S))
    """Seconds until the end of the answer."""
    first_byte: Histogram = field(default_factory=lambda: Histogram(FIRST_BYTE_BOUNDS_S))
    """Seconds until the engine began to answer; of a stream, until the first token."""

    def add(self, other: ModelMetrics, *, with_in_flight: bool = True) -> None:
        """Count those of ``other`` as well."""
        self.requests += other.requests
        self.errors += other.errors
        self.in_flight += other.in_flight if with_in_flight else 0
        self.duration.add(other.duration)
        self.first_byte.add(other.first_byte)


class TrackedRequest:
    """One request under way, as a context: what leaves it as an exception tells how it ended."""

    __slots__ = ("_began", "_tally", "broken")

    def __init__(self, tally: ModelMetrics) -> None:
        self._tally = tally
        self.broken = False
        """Set where an answer breaks off after its status has been sent."""

    def __enter__(self) -> TrackedRequest:
        self._tally.in_flight += 1
        self._began = time.monotonic()
        return self

    def answered(self) -> None:
        """The engine has begun to answer."""
        self._tally.first_byte.note(time.monotonic() - self._began)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        tally = self._tally
        tally.in_flight -= 1
        tally.requests += 1
        tally.duration.note(time.monotonic() - self._began)
        if self.broken or (isinstance(error, XinferError) and (error.status >= 500 or error.status == _OVERLOADED)):
            tally.errors += 1


class RequestMetrics:
    """The tallies of one supervisor, by model UID."""

    def __init__(self) -> None:
        self._of: dict[str, ModelMetrics] = {}

    def count(self, uid: str) -> TrackedRequest:
        """Count one request of this model, which has to be one that the registry knows."""
        tally = self._of.get(uid)
        if tally is None:
            tally = self._of[uid] = ModelMetrics()
        return TrackedRequest(tally)

    def snapshot(self, uids: Iterable[str]) -> dict[str, ModelMetrics]:
        """Those of the models there are; those of others are forgotten."""
        there = set(uids)
        self._of = {uid: tally for uid, tally in self._of.items() if uid in there or tally.in_flight}
        return {uid: tally for uid, tally in self._of.items() if uid in there}


class ClusterMetrics:
    """The tallies of all supervisors together, from what each last said. Times are seconds of any clock."""

    def __init__(self, silent_s: float = 15.0) -> None:
        self._silent_s = silent_s
        self._heard: dict[str, tuple[float, Mapping[str, ModelMetrics]]] = {}

    def hear(self, supervisor: str, tallies: Mapping[str, ModelMetrics], now: float) -> None:
        """This is what a supervisor has counted since it started."""
        self._heard[supervisor] = now, tallies

    def sums(self, now: float) -> dict[str, ModelMetrics]:
        """By model UID. One that is gone keeps its part, so that no total falls, but has nothing under way any more."""
        sums: dict[str, ModelMetrics] = {}
        for at, tallies in self._heard.values():
            for uid, tally in tallies.items():
                sums.setdefault(uid, ModelMetrics()).add(tally, with_in_flight=now - at <= self._silent_s)
        return sums
