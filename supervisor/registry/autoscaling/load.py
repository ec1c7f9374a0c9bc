"""What is known of a model's load at one moment, and what it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Load:
    """What is known of one model at one moment."""

    desired: int
    """Replicas that are wanted now, without those that leave."""
    ready: int
    starting: int = 0
    in_flight: int = 0
    """Requests under way, wherever they wait or run."""
    running: int = 0
    """Requests in the engines' batches."""
    waiting: int = 0
    """Requests in the engines' queues, and those refused since the last measurement."""
    full: int = 0
    """Ready replicas whose engines have requests waiting."""
    running_in_full: int = 0
    """Requests that run in those."""
    oldest_wait_s: float = 0.0
    """For how long the oldest waiting request has waited."""
    kv_cache_usage: float = 0.0
    """Sum over the ready replicas of the share in use."""
    arrivals_per_s: float = 0.0
    ttft_p90_s: float | None = None
    """Over the last seconds; None without streams."""
    is_whole: bool = True
    """Whether every supervisor and every engine has been heard lately; if not, nothing is removed."""

    @property
    def has_no_room(self) -> bool:
        """Whether requests wait that no replica has room for: all have a queue, or each has as many as it may have."""
        is_refused = self.full == 0
        return self.waiting > 0 and self.ready > 0 and (is_refused or self.full >= self.ready)


@dataclass(frozen=True, slots=True)
class Need:
    """The replicas that a load needs."""

    replicas: int
    why: str
    is_urgent: bool = False
    """Requests wait that no replica has room for."""


def replicas_for(load: float, per_replica: float) -> int:
    """As many as carry ``load`` with at most ``per_replica`` each."""
    return math.ceil(load / per_replica - _EPSILON)
