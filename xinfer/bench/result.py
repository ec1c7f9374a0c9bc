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
        legs: dict[str, Any] = {side: asdict(leg) for side, leg in self.legs.items()}
        compared = self.pair
        if compared is None:
            return {**legs, "order": list(self.legs), "pair": None}
        return {**legs, "order": list(self.legs), "pair": asdict(compared)}


@dataclass(frozen=True, slots=True)
class LevelResult:
    level: Level
    rounds: tuple[Round, ...]

    @property
    def sides(self) -> list[Side]:
        """A, and B if there is one; in this order whichever went first."""
        return sorted(self.rounds[0].legs)

    def median_leg(self, side: Side) -> LegMetrics:
        return median_leg([each.legs[side] for each in self.rounds])

    @property
    def versus(self) -> dict[str, Range]:
        """A against B over all pairs; empty without a B."""
        return ranges(values_of(self.rounds, "pair"))

    def to_json(self) -> dict[str, Any]:
        medians: dict[str, Any] = {side: asdict(self.median_leg(side)) for side in self.sides}
        versus = {name: asdict(values) for name, values in self.versus.items()}
        rounds = [each.to_json() for each in self.rounds]
        return {**medians, self.level.kind: self.level.value, "versus": versus, "rounds": rounds}


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

    def median_legs(self) -> Iterator[SideResult]:
        """Of every server at every level."""
        for found in self.levels:
            for side in self.targets:
                yield SideResult(side, found.level, found.median_leg(side))

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
            "levels": _rounded([found.to_json() for found in self.levels]),
        }


def _rounded(value: Any) -> Any:
    """Numbers with six digits after the point, a microsecond where they are seconds."""
    match value:
        case float():
            return round(value, 6)
        case dict():
            return {name: _rounded(item) for name, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
    return value
