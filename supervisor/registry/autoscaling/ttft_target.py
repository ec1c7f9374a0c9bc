"""How many replicas hold a target for the time to the first token. A plain class without Ray or clock."""

from __future__ import annotations

import math

from supervisor.registry.autoscaling.held_loads import HeldLoads
from supervisor.registry.autoscaling.load import Load, Need, replicas_for
from supervisor.registry.autoscaling.windows import Window

# How far back a TTFT is the consequence of what was in flight.
_WINDOW_S = 10.0
# Below this load per replica a slow first token is not the queue's fault.
_LEAST_LOAD = 0.5
# A load is held if the target is missed for at most this part of the time, and is too much from that part on. What lies between
# is neither a reason to remove nor to add.
_HELD = 0.1
_TOO_MUCH = 0.5
# Share of what holds that is left to the others when a replica is removed.
_HEADROOM = 0.8
# As far below its target as that, TTFT says that a replica has room for twice as much.
_EASY = 0.5
# What the first miss with a number of replicas counts as, since it is not waited for more.
_MISS_S = 30.0
_LONGEST_STEP_S = 2.0


class TtftTarget:
    """Learns at which load per replica the p90 TTFT holds its target, and needs replicas enough for it.

    More are needed while the target is missed, and at a load at which it mostly was. Fewer are enough only if what is left has
    a load at which the target is known to hold, so no change is taken back for what it has caused. Beyond what is known one
    replica goes on trial if TTFT is far below its target and nothing speaks against the load that the others will have. A trial
    that fails is remembered, and not repeated for hours.
    """

    def __init__(self, target_s: float) -> None:
        self._target_s = target_s
        self._loads = HeldLoads()
        self._highest = Window(_WINDOW_S)
        self._lowest = Window(_WINDOW_S, smallest=True)
        self._ready = 0
        self._ready_since = 0.0
        self._has_missed = False
        self._measured_at: float | None = None

    def need(self, load: Load, now: float) -> Need:
        """What this load needs. Times are seconds of any clock that does not go back."""
        per_replica = load.in_flight / max(1, load.ready)
        self._observe(load.ready, per_replica, now)
        # One that has waited for longer came to fewer replicas.
        longest_s = now - self._ready_since
        waits = load.waiting > 0 and self._target_s < load.oldest_wait_s <= longest_s
        is_slow = waits or (load.ttft_p90_s is not None and load.ttft_p90_s > self._target_s)
        # What is slow may be so because there were fewer replicas a moment ago, unless it waits now.
        cause = self._highest.so_far() if load.has_no_room or waits else self._highest.extreme(now)
        self._learn(load, cause, now, is_missed=is_slow or load.has_no_room)

        fits = self._fits(load, per_replica, is_slow=is_slow)
        # Those on their way may be enough, and requests that are not there cannot be spread.
        if is_slow and cause is not None and load.starting == 0 and per_replica > _LEAST_LOAD:
            fits = max(fits, load.desired + 1)
        elif is_slow:
            fits = max(fits, load.desired)
        return Need(fits, self._why(load, waits=waits, is_slow=is_slow))

    def _observe(self, ready: int, per_replica: float, now: float) -> None:
        if ready != self._ready:
            # What comes now is the consequence of another number of replicas.
            self._ready = ready
            self._ready_since = now
            self._has_missed = False
            self._highest.clear()
            self._lowest.clear()
        self._highest.add(per_replica, now)
        self._lowest.add(per_replica, now)

    def _learn(self, load: Load, cause: float | None, now: float, *, is_missed: bool) -> None:
        passed_s = 0.0 if self._measured_at is None else min(now - self._measured_at, _LONGEST_STEP_S)
        self._measured_at = now
        held = self._lowest.extreme(now)
        if not is_missed:
            if load.ttft_p90_s is not None and held is not None:
                self._loads.hit(held, passed_s)
        elif cause is not None and load.starting == 0:
            self._loads.miss(max(_LEAST_LOAD, cause), passed_s if self._has_missed else _MISS_S)
            self._has_missed = True

    def _fits(self, load: Load, per_replica: float, *, is_slow: bool) -> int:
        """How many have a load that holds; never more than there are unless theirs is known to be too much."""
        if not load.in_flight:
            return 0
        # From what misses leave, more are guessed low; from what has been seen to hold, fewer are guessed high.
        holds = self._loads.largest(_HELD)
        if self._loads.share_missed(load.in_flight / load.desired) >= _TOO_MUCH:
            return max(load.desired, replicas_for(load.in_flight, max(_LEAST_LOAD, holds)))
        seen = self._loads.largest_seen
        if seen is None:
            return load.desired
        limit = _HEADROOM * holds
        fits = replicas_for(load.in_flight, max(_LEAST_LOAD, min(limit, seen)))
        if fits < load.desired:
            return fits

        is_easy = not is_slow and load.ttft_p90_s is not None and load.ttft_p90_s <= _EASY * self._target_s
        on_trial = load.in_flight / max(1, load.desired - 1)
        if is_easy and on_trial <= min(limit, 2 * per_replica):
            return load.desired - 1
        return load.desired

    def _why(self, load: Load, *, waits: bool, is_slow: bool) -> str:
        if waits:
            return f"a request has waited {load.oldest_wait_s:.1f} s, the target for p90 TTFT is {self._target_s:g} s"
        if is_slow:
            return f"p90 TTFT is {load.ttft_p90_s or 0.0:.2f} s, the target is {self._target_s:g} s"
        shown = "unknown" if load.ttft_p90_s is None else f"{load.ttft_p90_s:.2f} s"
        why = f"p90 TTFT is {shown}, the target is {self._target_s:g} s, and {load.in_flight} requests are in flight"
        holds = self._loads.largest(_HELD)
        if math.isfinite(holds):
            why += f", of which a replica holds {holds:.1f}"
        return why
