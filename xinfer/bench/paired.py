"""The paired comparison: two servers asked in turn, and what the one adds to the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from xinfer.bench.figures import Figures, Spread, median

Side = Literal["a", "b"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A against B in one round. Absent is what one of them has no figure for."""

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


@dataclass(frozen=True, slots=True)
class Across:
    median: float
    min: float
    max: float


def turns(number: int, versus: bool) -> tuple[Side, ...]:
    """Who is asked in which order in a round: A B, then B A, so that a drift of the machine favours neither."""
    if not versus:
        return ("a",)
    if number % 2 == 0:
        return ("a", "b")
    return ("b", "a")


def pair(a: Figures, b: Figures) -> Pair:
    """What A adds to B in one round."""
    ttft, ttft_99 = _added(a.ttft_ms, b.ttft_ms, "p50"), _added(a.ttft_ms, b.ttft_ms, "p99")
    itl = _added(a.itl_ms, b.itl_ms, "p50")
    e2e = _added(a.e2e_ms, b.e2e_ms, "p50")
    return Pair(
        _ratio(a.tokens_per_s, b.tokens_per_s), _ratio(a.requests_per_s, b.requests_per_s), *ttft, *ttft_99, *itl, *e2e
    )


def across(pairs: Sequence[Pair]) -> dict[str, Across]:
    """Median and extremes of every figure that any pair has."""
    found: dict[str, Across] = {}
    for name in (part.name for part in fields(Pair)):
        values = [value for each in pairs if (value := getattr(each, name)) is not None]
        if values:
            found[name] = Across(median(values) or 0.0, min(values), max(values))
    return found


def _ratio(a: float, b: float) -> float | None:
    if b:
        return a / b
    return None


def _added(a: Spread | None, b: Spread | None, share: Literal["p50", "p99"]) -> tuple[float | None, float | None]:
    """In milliseconds, and in percent of B's own."""
    if a is None or b is None:
        return None, None
    ours: float = getattr(a, share)
    theirs: float = getattr(b, share)
    return ours - theirs, 100 * (ours - theirs) / theirs if theirs else None
