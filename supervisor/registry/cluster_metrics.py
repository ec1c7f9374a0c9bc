"""Sums of what all supervisors have counted."""

from __future__ import annotations

from collections.abc import Mapping

from xinfer.messages import ModelMetrics


class ClusterMetrics:
    """Adds up the latest report of each supervisor. Times are seconds of any clock that does not go back.

    A supervisor that has not reported for ``silent_s`` seconds is gone, and its requests with it.
    """

    def __init__(self, silent_s: float = 15.0) -> None:
        self._silent_s = silent_s
        self._reports: dict[str, tuple[float, Mapping[str, ModelMetrics]]] = {}

    def on_report(self, supervisor: str, metrics: Mapping[str, ModelMetrics], now: float) -> None:
        """``metrics`` is everything that this supervisor has counted since it started, by model UID."""
        self._reports[supervisor] = (now, metrics)

    def sums(self, now: float) -> dict[str, ModelMetrics]:
        """The sums by model UID."""
        sums: dict[str, ModelMetrics] = {}
        for reported_at, metrics in self._reports.values():
            # Counters of a supervisor that is gone stay, since a Prometheus counter must not fall; its gauge does not.
            is_alive = now - reported_at <= self._silent_s
            for uid, counted in metrics.items():
                total = sums.setdefault(uid, ModelMetrics())
                total.add(counted, with_in_flight=is_alive)
        return sums
