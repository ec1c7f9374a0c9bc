"""What all supervisors have in flight, added up for each of them: a plain class without Ray or clock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from xinfer.messages import ClusterLoad

_GONE_S = 6.0
"""A supervisor that has not reported for so long is gone, and its requests with it."""
_MOVED_KEPT = 10_000


class SupervisorLoads:
    """The latest report of each supervisor. Times are seconds of any clock that does not go back."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[float, Mapping[str, int]]] = {}
        self._sum: Counter[str] = Counter()
        # For each supervisor, what the others have said since it was last told.
        self._moved: dict[str, deque[tuple[int, str]]] = {}

    def exchange(
        self, supervisor: str, in_flight: Mapping[str, int], moved: Sequence[tuple[int, str]], now: float
    ) -> ClusterLoad:
        """A supervisor has so many requests under way at each replica, and is told what all have together.

        ``moved`` are conversations that it has given to a replica at which the others would not look for them.
        The sum follows the reports: with many supervisors and thousands of replicas it is not made anew for each.
        """
        self._forget_silent(now)
        self._take_out(supervisor)
        self._reports[supervisor] = (now, in_flight)
        self._sum.update(in_flight)
        told = self._moved.pop(supervisor, ())
        self._moved[supervisor] = deque(maxlen=_MOVED_KEPT)
        for other, waiting in self._moved.items():
            if other != supervisor:
                waiting.extend(moved)
        if len(self._reports) == 1:
            return ClusterLoad()
        busy = {name: count for name, count in self._sum.items() if count}
        return ClusterLoad(len(self._reports), busy, tuple(told))

    def _forget_silent(self, now: float) -> None:
        for name in [name for name, (at, _) in self._reports.items() if now - at > _GONE_S]:
            self._take_out(name)
            self._moved.pop(name, None)
            # What is at zero belongs mostly to replicas that are gone.
            self._sum = +self._sum

    def _take_out(self, supervisor: str) -> None:
        _, in_flight = self._reports.pop(supervisor, (0.0, {}))
        self._sum.subtract(in_flight)
