"""What a run found, and how it is written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from xinfer.bench.aggregates import Pair, median_leg, pair, ranges
from xinfer.bench.metrics import LegMetrics
from xinfer.bench.plan import Level
from xinfer.bench.stats import Range, values_of
from xinfer.bench.target import Side, Target

FORMAT = 1
"""Of the JSON; it grows when a field changes its meaning."""


@dataclass(frozen=True, slots=True)
class Round:
    """One leg of each server; ``legs`` are in the order in which they ran."""

    legs: Mapping[Side, LegMetrics]

    @property
    def pair(self) -> Pair | None:
        """A against B; None without a B."""
        if "b" not in self.legs:
            return None
        return pair(self.legs["a"], self.legs["b"])

    def to_json(self) -> dict[str, Any]:
        facts: dict[str, Any] = {**_as_dicts(self.legs), "order": list(self.legs), "pair": None}
        compared = self.pair
        if compared is not None:
            facts["pair"] = asdict(compared)
        return facts


@dataclass(frozen=True, slots=True)
class LevelResult:
    level: Level
    rounds: tuple[Round, ...]

    def median_leg(self, side: Side) -> LegMetrics:
        return median_leg([each.legs[side] for each in self.rounds])

    def median_legs(self) -> dict[Side, LegMetrics]:
        """Of A, and of B if there is one; in this order whichever went first."""
        return {side: self.median_leg(side) for side in sorted(self.rounds[0].legs)}

    @property
    def versus(self) -> dict[str, Range]:
        """A against B over all pairs; empty without a B."""
        return ranges(values_of(self.rounds, "pair"))

    def to_json(self) -> dict[str, Any]:
        return {
            **_as_dicts(self.median_legs()),
            self.level.kind: self.level.value,
            "versus": _as_dicts(self.versus),
            "rounds": list(map(Round.to_json, self.rounds)),
        }


class SideResult(NamedTuple):
    """The median leg of one server at one level."""

    side: Side
    level: Level
    leg: LegMetrics


@dataclass(frozen=True, slots=True)
class Result:
    targets: Mapping[Side, Target]
    levels: tuple[LevelResult, ...]
    machine: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def engines(self) -> tuple[str, ...]:
        """Addresses of engines whose counters were read."""
        return tuple(self.arguments.get("engines", ()))

    def describe_targets(self) -> list[str]:
        """A line for each server."""
        return [f"{side.upper()}  {target}" for side, target in self.targets.items()]

    def side_results(self) -> Iterator[SideResult]:
        """Of every server at every level."""
        for found in self.levels:
            for side, leg in found.median_legs().items():
                yield SideResult(side, found.level, leg)

    def to_json(self) -> dict[str, Any]:
        """The whole result, in values that JSON has. API keys are left out."""
        targets: dict[Side, dict[str, str]] = {}
        for side, target in self.targets.items():
            targets[side] = {"url": target.server.url, "model": target.model}
        return {
            "format": FORMAT,
            "machine": dict(self.machine),
            "arguments": dict(self.arguments),
            "targets": targets,
            "levels": _rounded(list(map(LevelResult.to_json, self.levels))),
        }


def _as_dicts(items: Mapping[Any, LegMetrics] | Mapping[Any, Range]) -> dict[str, Any]:
    return {name: asdict(item) for name, item in items.items()}


def _rounded(value: Any) -> Any:
    """Numbers with six digits after the point, a microsecond where they are seconds."""
    match value:
        case float():
            return round(value, 6)
        case dict():
            return {name: _rounded(item) for name, item in value.items()}
        case list() | tuple():
            return list(map(_rounded, value))
    return value
