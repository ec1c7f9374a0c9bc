"""What a figure should reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """Upper bounds, both of which count."""

    at_most: float | None = None
    """In the unit of its row."""
    of_bare: float | None = None
    """As a share of bare vLLM's start."""

    def reached(self, median: float, bare: float | None) -> bool | None:
        """Whether a median keeps to it; None where that takes bare vLLM's, which was not measured."""
        if self.at_most is not None and median > self.at_most:
            return False
        if self.of_bare is None:
            return True
        if bare is None:
            return None
        return median <= self.of_bare * bare

    def told(self, unit: str) -> str:
        if self.at_most is None:
            absolute = []
        else:
            absolute = [f"{self.at_most:g} {unit}".strip()]
        return " and ".join([*absolute, *([] if self.of_bare is None else [f"{self.of_bare:g} of bare"])])
