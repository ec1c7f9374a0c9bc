"""What a run found, and how it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from xinfer.bench.launching.row import ROWS, Name, Row
from xinfer.bench.launching.sample import Sample
from xinfer.bench.stats import Range, medians, values_of

FORMAT = 1
"""Of the JSON; it grows when a field changes its meaning."""


@dataclass(slots=True)
class RowResult:
    """One row: its samples, and what kept it from having more."""

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
        found = self.rows["bare"].range if "bare" in self.rows else None
        if found:
            return found.median
        return None

    def share_of_bare(self, name: Name) -> float | None:
        """A median beside bare vLLM's; None where either is missing or they cannot be compared."""
        found = self.rows[name].range
        if found and self.bare and ROWS[name].unit == "s":
            return found.median / self.bare
        return None

    def reached(self, name: Name) -> bool | None:
        """Whether a row keeps to its goal; None if it has none, or too little was measured to tell."""
        found = self.rows[name].range
        goal = ROWS[name].goal
        if found and goal:
            return goal.reached(found.median, self.bare)
        return None

    def to_json(self) -> dict[str, Any]:
        """Everything, in values that JSON has."""
        rows = {name: self._row(name) for name in self.rows}
        return {"format": FORMAT, "machine": dict(self.machine), "arguments": dict(self.arguments), "rows": rows}

    def _row(self, name: Name) -> dict[str, Any]:
        found = self.rows[name]
        goal = found.row.goal
        return {
            "title": found.row.title,
            "unit": found.row.unit,
            "goal": asdict(goal) if goal else None,
            "reached": self.reached(name),
            "share_of_bare": _rounded(self.share_of_bare(name)),
            **{part: _rounded(getattr(found.range, part, None)) for part in ("median", "min", "max")},
            "parts": _all_rounded(found.parts),
            "samples": [{"value": _rounded(s.value), "parts": _all_rounded(s.parts)} for s in found.samples],
            "failures": list(found.failures),
        }


def _rounded(value: float | None) -> float | None:
    """To a thousandth, a millisecond where it is seconds."""
    if value is None:
        return None
    return round(value, 3)


def _all_rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
