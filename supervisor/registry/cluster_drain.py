"""The end of a cluster, as a plain class: when it stops, and which supervisors have nothing under way any more."""

from __future__ import annotations

# A supervisor reports every 5 s; one that has been silent for three times as long is gone.
_SILENCE_S = 15.0
# A cluster that goes on for so long after its end was not stopped after all.
_FORGET_S = 60.0


class ClusterDrain:
    """Times are seconds of one clock that does not go back, except ``stops_at``, which is Unix time for all machines."""

    def __init__(self) -> None:
        self.stops_at: float | None = None
        self._heard: dict[str, float] = {}
        self._drained: set[str] = set()

    def hear(self, supervisor: str, now: float) -> None:
        """This supervisor is there."""
        self._heard[supervisor] = now

    def begin(self, stops_at: float) -> None:
        """The cluster takes no more requests; what is under way has until then. The first call counts."""
        if self.stops_at is None:
            self.stops_at = stops_at
            self._drained.clear()

    def drained(self, supervisor: str) -> None:
        """This supervisor has nothing under way any more, and takes nothing."""
        self._drained.add(supervisor)

    def is_over(self, now: float) -> bool:
        """True if no supervisor has anything under way."""
        there = {supervisor for supervisor, heard_at in self._heard.items() if now - heard_at < _SILENCE_S}
        return there <= self._drained

    def forget_if_not_stopped(self, unix_time: float) -> bool:
        """Take requests again if nobody has ended the cluster; whether that is the case."""
        if self.stops_at is None or unix_time < self.stops_at + _FORGET_S:
            return False
        self.stops_at = None
        return True
