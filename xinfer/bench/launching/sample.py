"""What one measurement gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sample:
    """A value in the unit of its row, and what it is made of."""

    value: float
    parts: Mapping[str, float] = field(default_factory=dict)
    """Of a launch: seconds by stage, in order, which add up to the value."""
