"""What a run found, and how it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from xinfer.bench.figures import Figures
from xinfer.bench.level import Level
from xinfer.bench.median_leg import typical
from xinfer.bench.paired import Across, Pair, Side, across, pair
from xinfer.bench.target import Target

FORMAT = 1
"""Of the JSON; it grows when a field changes its meaning."""


@dataclass(frozen=True, slots=True)
class Round:
    """Each server asked once; ``legs`` are in the order in which they were."""

    legs: Mapping[Side, Figures]

    @property
    def pair(self) -> Pair | None:
        """A against B; None without a B."""
        if "b" in self.legs:
            return pair(self.legs["a"], self.legs["b"])
        return None


@dataclass(frozen=True, slots=True)
class LevelResult:
    level: Level
    rounds: tuple[Round, ...]

    def typical(self, side: Side) -> Figures:
        return typical([each.legs[side] for each in self.rounds])

    @property
    def versus(self) -> dict[str, Across]:
        """A against B over all pairs; empty without a B."""
        return across([each.pair for each in self.rounds if each.pair is not None])


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

    def to_json(self) -> dict[str, Any]:
        """Everything, in values that JSON has. No key is among them."""
        targets = {side: {"url": each.server.url, "model": each.model} for side, each in self.targets.items()}
        levels = _rounded([self._level(each) for each in self.levels])
        machine = dict(self.machine)
        arguments = dict(self.arguments)
        return {"format": FORMAT, "machine": machine, "arguments": arguments, "targets": targets, "levels": levels}

    def _level(self, found: LevelResult) -> dict[str, Any]:
        sides: dict[str, Any] = {side: asdict(found.typical(side)) for side in self.targets}
        return sides | {
            found.level.kind: found.level.value,
            "versus": {name: asdict(each) for name, each in found.versus.items()},
            "rounds": [_round(each) for each in found.rounds],
        }


def _round(found: Round) -> dict[str, Any]:
    legs: dict[str, Any] = {side: asdict(leg) for side, leg in found.legs.items()}
    return legs | {"order": list(found.legs), "pair": asdict(found.pair) if found.pair else None}


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
