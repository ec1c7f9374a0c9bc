"""What a run found, and how it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from xinfer.bench.launching.rows import ROWS, Name, Row
from xinfer.bench.launching.sample import Sample
from xinfer.bench.stats import Range, medians, values_of

FORMAT = 1
"""Of the JSON; it grows when a field changes its meaning."""


@dataclass(slots=True)
class RowResult:
    """One row: its samples, and why some are missing."""

    row: Row
    samples: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def range(self) -> Range | None:
        """Median and extremes; None without a sample."""
        return Range.of(values_of(self.samples, "value"))

    @property
    def parts(self) -> dict[str, float]:
        """The median of each part, over the samples that have it; in the order of the samples."""
        return medians(values_of(self.samples, "parts"))


@dataclass(frozen=True, slots=True)
class Result:
    rows: Mapping[Name, RowResult]
    machine: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bare(self) -> float | None:
        """The median of bare vLLM's start in seconds."""
        if "bare" not in self.rows:
            return None
        return getattr(self.rows["bare"].range, "median", None)

    def share_of_bare(self, name: Name) -> float | None:
        """A median divided by bare vLLM's; None where either is missing or they cannot be compared."""
        values = self.rows[name].range
        if values and self.bare and ROWS[name].unit == "s":
            return values.median / self.bare
        return None

    def reached(self, name: Name) -> bool | None:
        """Whether a row reaches its goal; None if it has none, or too little was measured to tell."""
        values = self.rows[name].range
        goal = ROWS[name].goal
        if values and goal:
            return goal.reached(values.median, self.bare)
        return None

    def to_json(self) -> dict[str, Any]:
        """The whole result, in values that JSON has."""
        rows = {name: self._row(name) for name in self.rows}
        return {
            "format": FORMAT,
            "machine": dict(self.machine),
            "arguments": dict(self.arguments),
            "rows": rows,
        }

    def _row(self, name: Name) -> dict[str, Any]:
        found = self.rows[name]
        goal = None
        if found.row.goal:
            goal = asdict(found.row.goal)
        values = found.range
        return {
            "title": found.row.title,
            "unit": found.row.unit,
            "goal": goal,
            "reached": self.reached(name),
            "share_of_bare": _rounded(self.share_of_bare(name)),
            "median": _rounded(getattr(values, "median", None)),
            "min": _rounded(getattr(values, "min", None)),
            "max": _rounded(getattr(values, "max", None)),
            "parts": _all_rounded(found.parts),
            "samples": list(map(_sample, found.samples)),
            "failures": list(found.failures),
        }


def _sample(sample: Sample) -> dict[str, Any]:
    return {"value": _rounded(sample.value), "parts": _all_rounded(sample.parts)}


def _rounded(value: float | None) -> float | None:
    """To a thousandth, a millisecond where it is seconds."""
    if value is None:
        return None
    return round(value, 3)


def _all_rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
