"""How many replicas one moment's load needs, as a plain class without Ray or clock."""

from __future__ import annotations

from supervisor.registry.autoscaling.load import Load, Need, replicas_for
from supervisor.registry.autoscaling.residence import Residence
from supervisor.registry.autoscaling.ttft_target import TtftTarget
from xinfer.messages import AutoscalingConfig

# Share of what replicas hold at most that is left to them when one is removed.
_HEADROOM = 0.8
# A KV cache this full makes the engine preempt requests ...
_CACHE_FULL = 0.9
# ... and this full there is room for those that run to grow.
_CACHE_TARGET = 0.75
_NEW_SHARE = 0.3
# In flight for so many times the target, the delay is not waited for.
_PANIC_FACTOR = 2.0


class Needs:
    """Knows what the replicas of one model can hold: as configured, and as learned from their engines."""

    def __init__(self, config: AutoscalingConfig) -> None:
        self._config = config
        # Requests that a full engine was running, and the most that one was running without being full.
        self._capacity: float | None = None
        self._seen = 1.0
        self._residence = Residence()
        self._ttft = TtftTarget(config.target_ttft_s) if config.target_ttft_s is not None else None

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
        if not load.waiting:
            self._residence.observe(load.in_flight, load.arrivals_per_s)

    def _by_target(self, load: Load, now: float) -> Need:
        if self._ttft:
            return self._ttft.need(load, now)
        target = self._config.target_ongoing_requests
        if target is None:
            return self._by_capacity(load)
        why = f"{load.in_flight} requests in flight, {target:g} per replica are the target"
        have = max(1, load.ready + load.starting)
        is_urgent = load.in_flight >= _PANIC_FACTOR * target * have
        return Need(replicas_for(load.in_flight, target), why, is_urgent)

    def _by_capacity(self, load: Load) -> Need:
        """Never more than there are: more are needed only when an engine says that it is full."""
        capacity = self._capacity or self._seen
        fits = replicas_for(load.in_flight, _HEADROOM * capacity)
        why = f"{load.in_flight} requests in flight, of which a replica holds {capacity:.0f}"
        return Need(min(load.desired, fits), why)

    def _by_cache(self, load: Load) -> Need:
        needed = replicas_for(load.kv_cache_usage, _CACHE_TARGET)
        share = load.kv_cache_usage / max(1, load.ready)
        if share <= _CACHE_FULL:
            needed = min(needed, load.desired)
        return Need(needed, f"running requests hold {share:.0%} of the KV cache of the replicas")

    def _by_engines(self, load: Load) -> Need:
        """An engine with a queue is full, whatever the target says; one that is full beside others is the balancer's matter."""
        if not load.has_no_room:
            return Need(0, "")
        if not load.full:
            # These wait nowhere.
            why = f"{load.waiting} requests were refused since every replica had as many as it may have"
            return Need(load.desired + (load.starting == 0), why, is_urgent=True)

        capacity = self._capacity or self._seen
        total = max(load.in_flight, load.running + load.waiting)
        residence_s = self._residence.seconds
        if residence_s is not None:
            # Little's law: what comes at this rate will be under way, beside what waits already.
            total = max(total, int(load.arrivals_per_s * residence_s) + load.waiting)
        why = f"{load.waiting} requests wait, and all replicas are full with {capacity:.0f} running in each"
        return Need(replicas_for(total, capacity), why, is_urgent=True)
