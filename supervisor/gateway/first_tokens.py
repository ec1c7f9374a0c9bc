"""How long replicas take to their first token, and which of them are far slower than their siblings."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

# The weight of a new measurement in the average.
_WEIGHT = 0.2
# Times as slow as the fastest sibling, and slower by at least so many seconds: below that it is the prompts that differ.
_RATIO = 4.0
_DIFFERENCE_S = 0.5
_LARGEST_RATIO = 8.0
# An average without a new measurement for so long is forgotten: a replica that gets nothing could never show that it recovered.
_VALID_S = 30.0


class FirstTokens:
    """Exponentially weighted averages by replica. ``now`` is seconds of a clock that does not go back."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._averages: dict[str, tuple[float, float]] = {}
        # Those that may be far slower than others: mostly none, and then no request has to look at every average.
        self._late: set[str] = set()

    def observe(self, replica: str, seconds: float) -> None:
        """A stream of this replica has begun after so many seconds."""
        average = self._average(replica)
        if average is None:
            average = seconds
        average += _WEIGHT * (seconds - average)
        self._averages[replica] = (average, self._now())
        if average > _DIFFERENCE_S:
            self._late.add(replica)
        else:
            self._late.discard(replica)

    def forget(self, replica: str) -> None:
        """This replica is gone."""
        self._averages.pop(replica, None)
        self._late.discard(replica)

    def slowness(self, replicas: Sequence[str]) -> dict[str, float]:
        """How many times as slow as the fastest of ``replicas`` the far slower ones are, at most 8; empty if none is."""
        if self._late.isdisjoint(replicas):
            return {}
        # For every request, over all replicas of its model: the clock is read once.
        oldest = self._now() - _VALID_S
        known: dict[str, float] = {}
        for replica in replicas:
            measured = self._averages.get(replica)
            if measured is not None and measured[1] > oldest:
                known[replica] = measured[0]
        if len(known) < 2:
            return {}

        fastest = min(known.values())
        slow: dict[str, float] = {}
        for replica, average in known.items():
            if average > _RATIO * fastest and average - fastest > _DIFFERENCE_S:
                slow[replica] = min(_LARGEST_RATIO, average / max(fastest, 1e-6))
        return slow

    def _average(self, replica: str) -> float | None:
        average, measured_at = self._averages.get(replica, (0.0, -_VALID_S))
        if self._now() - measured_at < _VALID_S:
            return average
        return None
