"""What supervisors tell the registry of how models are used."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """How one supervisor uses one model."""

    in_flight: int = 0
    """Requests under way from there."""
    idle_s: float = math.inf
    """Seconds since the last one ended; infinite if there was none."""
