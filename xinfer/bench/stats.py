"""Percentiles, means and medians of values, some of which may be missing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Latency:
    """The distribution of a latency, in milliseconds."""

    p50: float
    p90: float
    p99: float
    mean: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Latency | None:
        """Of times in seconds; None if there are none."""
        ordered = sorted(1000 * second for second in seconds)
        if not ordered:
            return None
        return cls(
            p50=percentile(ordered, 0.5),
            p90=percentile(ordered, 0.9),
            p99=percentile(ordered, 0.99),
            mean=statistics.fmean(ordered),
        )


@dataclass(frozen=True, slots=True)
class Range:
    """Median and extremes of one metric over several rounds."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Range | None:
        """None if there are no values."""
        if not values:
            return None
        return cls(statistics.median(values), min(values), max(values))


def present(values: Iterable[T | None]) -> list[T]:
    """The values without those that are None."""
    return [value for value in values if value is not None]


def values_of(items: Iterable[object], name: str) -> list[Any]:
    """The attribute ``name`` of each item, without those that are None."""
    return present(map(attrgetter(name), items))


def by_key(mappings: Iterable[Mapping[str, T]]) -> dict[str, list[T]]:
    """The values under each key, in the order in which the keys first appear."""
    found: dict[str, list[T]] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            found.setdefault(key, []).append(value)
    return found


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the sorted values are, interpolated between two neighbours."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def mean(values: Iterable[float | None]) -> float | None:
    """Of the values that are present; None if none is."""
    there = present(values)
    if not there:
        return None
    return statistics.fmean(there)


def median(values: Iterable[float | None]) -> float | None:
    """Of the values that are present; None if none is."""
    there = present(values)
    if not there:
        return None
    return statistics.median(there)


def medians(mappings: Iterable[Mapping[str, float | None]]) -> dict[str, float]:
    """The median under each key, over the mappings that have it; 0 where every value is None."""
    found: dict[str, float] = {}
    for key, values in by_key(mappings).items():
        found[key] = median(values) or 0.0
    return found


def ratio(part: float | None, whole: float | None) -> float | None:
    """``part / whole``; None if either is missing or ``whole`` is zero."""
    if part is None or not whole:
        return None
    return part / whole
