"""Sums of what all supervisors have counted by key."""

from __future__ import annotations

from collections.abc import Mapping

from xinfer.messages import KeyCounts

Counted = Mapping[tuple[str, str], KeyCounts]


class KeySums:
    """Adds up the latest report of each supervisor. What one that is gone has counted stays: a counter must not fall."""

    def __init__(self) -> None:
        self._reports: dict[str, Counted] = {}

    def exchange(self, supervisor: str, counted: Counted) -> dict[tuple[str, str], KeyCounts]:
        """``counted`` is everything that this supervisor has counted since it started; returns the sums."""
        self._reports[supervisor] = counted
        sums: dict[tuple[str, str], KeyCounts] = {}
        for report in self._reports.values():
            for pair, counts in report.items():
                sums.setdefault(pair, KeyCounts()).add(counts)
        return sums
