"""How a server is loaded: levels, rounds and limits, each with its default, unit and check."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["concurrency", "rate"]


@dataclass(frozen=True, slots=True)
class Level:
    """The load: a number of streams, each of which sends one request at a time; or requests per second."""

    kind: Kind
    value: float

    def __str__(self) -> str:
        if self.kind == "rate":
            return f"{self.value:g} per second"
        if self.value > 1:
            return f"{self.value:g} streams"
        return f"{self.value:g} stream"

    @property
    def connections(self) -> int:
        """Connections that are opened before the clock starts."""
        if self.kind == "concurrency":
            return int(self.value)
        return max(1, math.ceil(self.value))

    def requests(self, requests: int | None, turns: int = 1) -> int:
        """How many requests a leg has, given ``Plan.requests``."""
        if self.kind == "rate":
            return requests or max(20, math.ceil(10 * self.value))
        # As many whole conversations for each stream, so that no leg ends with some streams idle.
        multiple = self.connections * turns
        return math.ceil((requests or max(3 * self.connections, 12)) / multiple) * multiple


@dataclass(frozen=True, slots=True)
class Plan:
    """The legs of a run, and how long each response may take."""

    levels: tuple[Level, ...] = (Level("concurrency", 1), Level("concurrency", 8), Level("concurrency", 32))
    requests: int | None = None
    """Of a leg; rounded up to a multiple of the streams and their turns.

    Unless given, three per stream, 12 at least, or 10 s of a rate.
    """
    duration_s: float | None = None
    """Of a leg, instead of a number: requests begin until then, and all are waited for."""
    warm_up: int | None = None
    """Requests before the first leg of a level, for each server; rounded up to whole conversations.

    Unless given, one conversation per stream.
    """
    rounds: int = 1
    timeout_s: float = 300.0
    """Of one request, from its first byte to its last."""
    max_in_flight: int = 4096
    """With a rate: an arrival beyond it waits."""

    def warm_up_at(self, level: Level, turns: int) -> int:
        """How many conversations of ``turns`` turns warm a server up for ``level``."""
        if self.warm_up is None:
            return level.connections
        return math.ceil(self.warm_up / turns)
