"""How many replicas one moment's load needs, as a plain class without Ray or clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

from supervisor.registry.autoscaling.windows import Window
from xinfer.messages import AutoscalingConfig

# Share of what replicas hold at most that is left to them when one is removed.
_HEADROOM = 0.8
# A KV cache this full makes the engine preempt requests ...
_CACHE_FULL = 0.9
# ... and this full there is room for those that run to grow.
_CACHE_TARGET = 0.75
# How far back a TTFT is the consequence of what was in flight.
_TTFT_WINDOW_S = 10.0
# Below this load per replica a slow first token is not the queue's fault.
_LEAST_LOAD = 0.5
_NEW_SHARE = 0.3
# Requests become shorter: what was too much once is tried again after this time.
_FORGET_S = 1800.0
# In flight for so many times the target, the delay is not waited for.
_PANIC_FACTOR = 2.0
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


@dataclass(frozen=True, slots=True)
class Need:
    """The replicas that a load needs."""

    replicas: int
    why: str
    is_urgent: bool = False
    """Requests wait that no replica has room for."""


class Needs:
    """Knows what the replicas of one model can hold: as configured, and as learned from their engines."""

    def __init__(self, config: AutoscalingConfig) -> None:
        self._config = config
        # Requests that a full engine was running, and the most that one was running without being full.
        self._capacity: float | None = None
        self._seen = 1.0
        # Requests per replica at which TTFT was within its target, and at which it was not.
        self._safe: float | None = None
        self._too_much: float | None = None
        self._too_much_at = 0.0
        self._highest = Window(_TTFT_WINDOW_S)
        self._lowest = Window(_TTFT_WINDOW_S, smallest=True)
        self._ready = 0

    def of(self, load: Load, now: float) -> Need:
        """What this load needs; nothing more than is desired unless some measure is over its target."""
        self._learn(load)
        need = self._by_target(load, now)
        for other in (self._by_cache(load), self._by_engines(load)):
            if other.replicas > need.replicas or (other.replicas == need.replicas and other.is_urgent):
                need = other
        return need

    def _learn(self, load: Load) -> None:
        if load.full and load.running_in_full:
            capacity = load.running_in_full / load.full
            if self._capacity is not None:
                capacity = (1 - _NEW_SHARE) * self._capacity + _NEW_SHARE * capacity
            self._capacity = max(1.0, capacity)
        elif load.ready:
            self._seen = max(self._seen, load.running / load.ready)

    def _by_target(self, load: Load, now: float) -> Need:
        if self._config.target_ttft_s is not None:
            return self._by_ttft(load, self._config.target_ttft_s, now)
        target = self._config.target_ongoing_requests
        if target is None:
            return self._by_capacity(load)
        why = f"{load.in_flight} requests in flight, {target:g} per replica are the target"
        have = max(1, load.ready + load.starting)
        is_urgent = load.in_flight >= _PANIC_FACTOR * target * have
        return Need(_ceil(load.in_flight / target), why, is_urgent)

    def _by_capacity(self, load: Load) -> Need:
        """Never more than there are: more are needed only when an engine says that it is full."""
        capacity = self._capacity or self._seen
        fits = _ceil(load.in_flight / (_HEADROOM * capacity))
        why = f"{load.in_flight} requests in flight, of which a replica holds {capacity:.0f}"
        return Need(min(load.desired, fits), why)

    def _by_ttft(self, load: Load, target_s: float, now: float) -> Need:
        per_replica = load.in_flight / max(1, load.ready)
        if load.ready != self._ready:
            # What comes now is the consequence of another number of replicas.
            self._ready = load.ready
            self._highest.clear()
            self._lowest.clear()
        self._highest.add(per_replica, now)
        self._lowest.add(per_replica, now)

        measured = load.ttft_p90_s
        waits = load.waiting > 0 and load.oldest_wait_s > target_s
        if waits or (measured is not None and measured > target_s):
            return self._for_slow(load, target_s, per_replica, now)

        self._learn_safe(measured, target_s, now)
        if not load.in_flight:
            fits = 0
        elif self._safe is None:
            fits = load.desired
        else:
            fits = _ceil(load.in_flight / max(_LEAST_LOAD, self._safe))
        shown = "unknown" if measured is None else f"{measured:.2f} s"
        why = f"p90 TTFT is {shown}, the target is {target_s:g} s, and {load.in_flight} requests are in flight"
        return Need(min(load.desired, fits), why)

    def _for_slow(self, load: Load, target_s: float, per_replica: float, now: float) -> Need:
        cause = self._highest.extreme(now)
        if cause is not None and load.starting == 0:
            self._too_much = min(self._too_much or cause, max(_LEAST_LOAD, cause))
            self._too_much_at = now
            self._safe = min(self._safe or self._too_much, _HEADROOM * self._too_much)
        if load.waiting > 0 and load.oldest_wait_s > target_s:
            why = f"a request has waited {load.oldest_wait_s:.1f} s, the target for p90 TTFT is {target_s:g} s"
        else:
            why = f"p90 TTFT is {load.ttft_p90_s or 0.0:.2f} s, the target is {target_s:g} s"
        # Those on their way may be enough, what is slow may be so because there were fewer a moment ago, and requests that
        # are not there cannot be spread.
        is_news = cause is not None or load.waiting > 0
        if load.starting == 0 and is_news and per_replica > _LEAST_LOAD:
            return Need(load.desired + 1, why)
        return Need(load.desired, why)

    def _learn_safe(self, measured: float | None, target_s: float, now: float) -> None:
        held = self._lowest.extreme(now)
        if measured is None or measured > _HEADROOM * target_s or held is None:
            return
        if measured <= target_s / 2:
            # As far below the target as that, replicas have room for as much again, unless that was too much before.
            held *= 2
        if self._too_much is not None and now - self._too_much_at > _FORGET_S:
            self._too_much = None
        if self._too_much is not None:
            held = min(held, _HEADROOM * self._too_much)
        self._safe = max(self._safe or 0.0, held)

    def _by_cache(self, load: Load) -> Need:
        needed = _ceil(load.kv_cache_usage / _CACHE_TARGET)
        share = load.kv_cache_usage / max(1, load.ready)
        if share <= _CACHE_FULL:
            needed = min(needed, load.desired)
        return Need(needed, f"running requests hold {share:.0%} of the KV cache of the replicas")

    def _by_engines(self, load: Load) -> Need:
        """An engine with a queue is full, whatever the target says; one that is full beside others is the balancer's matter."""
        if load.waiting and load.ready and not load.full:
            # These wait nowhere.
            why = f"{load.waiting} requests were refused since every replica had as many as it may have"
            return Need(load.desired + (load.starting == 0), why, is_urgent=True)
        if not load.full or load.full < load.ready:
            return Need(0, "")

        capacity = self._capacity or self._seen
        total = max(load.in_flight, load.running + load.waiting)
        why = f"{load.waiting} requests wait, and all replicas are full with {capacity:.0f} running in each"
        return Need(_ceil(total / capacity), why, is_urgent=True)


def _ceil(replicas: float) -> int:
    return math.ceil(replicas - _EPSILON)
