"""The rows of the table: what is measured, and the target of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Name = Literal["bare", "plain", "cold", "warm", "serve", "replica", "wake", "terminate", "memory", "off"]
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, slots=True)
class Target:
    """Upper bounds, both of which count."""

    at_most: float | None = None
    """In the unit of its row."""
    of_bare: float | None = None
    """As a share of bare vLLM's start."""

    def reached(self, median: float, bare: float | None) -> bool | None:
        """True if a median is within the bounds; None if that takes bare vLLM's median and there is none."""
        if self.at_most is not None and median > self.at_most:
            return False
        if self.of_bare is None:
            return True
        if bare is None:
            return None
        return median <= self.of_bare * bare

    def describe(self, unit: str) -> str:
        bounds: list[str] = []
        if self.at_most is not None:
            # "off" counts processes, which have no unit.
            bounds.append(f"{self.at_most:g} {unit}".strip())
        if self.of_bare is not None:
            bounds.append(f"{self.of_bare:g} of bare")
        return " and ".join(bounds)


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement, which is repeated in each run."""

    name: Name
    title: str
    goal: Target | None = None
    unit: str = "s"
    once: bool = False
    """Measured in the first run only, as no clock is involved."""


_ROWS = (
    Row("bare", "bare vLLM, start to first token"),
    Row("warm", "launch to first token, warm host ready", Target(at_most=6, of_bare=0.12)),
    Row("cold", "launch to first token, cluster just started, no warm host yet", Target(of_bare=0.5)),
    Row("plain", "launch to first token, cluster without a warm host"),
    Row("serve", "make serve to first token", Target(at_most=35)),
    Row("replica", "second replica of a running model", Target(at_most=6)),
    Row("wake", "wake from sleep to first token", Target(at_most=6)),
    Row("terminate", "terminate: processes, port, memory and GPU gone", Target(at_most=3)),
    Row("memory", "idle warm host's own memory, beside an engine", unit="MiB"),
    Row("off", "processes of a warm host with --no-warm-host", Target(at_most=0), unit="", once=True),
)
ROWS: dict[Name, Row] = {row.name: row for row in _ROWS}
"""In the order of the table."""
