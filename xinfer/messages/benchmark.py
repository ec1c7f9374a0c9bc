"""One run of ``xinfer bench`` that was started through the REST API, as a node's agent and the supervisors tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class BenchmarkState(StrEnum):
    """Where a run is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # ``error`` says why
    CANCELLED = "cancelled"  # by somebody, or because it took too long


@dataclass(frozen=True, slots=True)
class BenchmarkRun:
    """A run as it is now. ``version`` grows with every change."""

    id: str
    model: str
    profile: str
    started_by: str
    """The name of the key; empty where none are required."""
    state: BenchmarkState
    began_at: float
    """Unix time, as ``ended_at``."""
    version: int = 0
    ended_at: float | None = None
    step: str = ""
    """The leg, or its warm-up, that is under way."""
    requests_done: int = 0
    """Of the step."""
    requests_total: int = 0
    """0 where the number is not known before."""
    legs: tuple[Mapping[str, Any], ...] = ()
    """The metrics of the legs that have ended, in the order of the profile's levels."""
    result: Mapping[str, Any] | None = None
    """What ``xinfer bench --json`` writes."""
    error: str | None = None
