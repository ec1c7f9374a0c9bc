"""Which replica takes a request: a plain class without Ray, clock or sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from xinfer.errors import ModelOverloaded
from xinfer.messages import ReplicaReport


class Balancer:
    """Counts what is in flight at each replica and picks the least busy one."""

    def __init__(self, max_in_flight: int) -> None:
        self._max = max_in_flight
        self._in_flight: Counter[str] = Counter()

    def pick(self, replicas: Sequence[ReplicaReport], avoid: Collection[str] = ()) -> ReplicaReport:
        """The replica with the fewest requests, preferably none of ``avoid``; ``ModelOverloaded`` if all are full.

        The caller says ``begin`` and ``end`` around the request.
        """
        candidates = [r for r in replicas if r.replica not in avoid] or list(replicas)
        best = min(candidates, key=lambda r: self._in_flight[r.replica])
        if self._in_flight[best.replica] >= self._max:
            raise ModelOverloaded(f"The model {best.model_uid!r} has all the requests it can take.", retry_after_s=1)
        return best

    def begin(self, replica: ReplicaReport) -> None:
        """A request goes to ``replica``."""
        self._in_flight[replica.replica] += 1

    def end(self, replica: ReplicaReport) -> None:
        """It is over; a replica with none left is forgotten."""
        self._in_flight[replica.replica] -= 1
        if self._in_flight[replica.replica] <= 0:
            del self._in_flight[replica.replica]

    def in_flight(self, replica: str) -> int:
        """Requests under way at one replica, from here."""
        return self._in_flight[replica]
