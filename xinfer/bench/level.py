"""How hard a server is pressed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["concurrency", "rate"]


@dataclass(frozen=True, slots=True)
class Level:
    """So many streams of requests, each waiting for an answer before the next request; or so many requests per second."""

    kind: Kind
    value: float

    def __str__(self) -> str:
        if self.kind == "rate":
            return f"{self.value:g} per second"
        return f"{self.value:g} stream{'s' if self.value > 1 else ''}"

    @property
    def at_once(self) -> int:
        """Connections that are opened before the clock starts."""
        if self.kind == "concurrency":
            return int(self.value)
        return max(1, math.ceil(self.value))

    def requests(self, asked: int | None, turns: int = 1) -> int:
        """How many requests a leg has: as many whole conversations for each stream, so that no leg ends with some idle."""
        if self.kind == "rate":
            return asked or max(20, math.ceil(10 * self.value))
        once = self.at_once * turns
        return math.ceil((asked or max(3 * self.at_once, 12)) / once) * once
