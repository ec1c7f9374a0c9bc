"""Bytes per second, as people want to read it."""

from __future__ import annotations

from collections import deque


class Rate:
    """Bytes per second over the last few seconds."""

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, at_s: float, bytes_done: int) -> float:
        """Note that ``bytes_done`` were done at ``at_s``; returns the rate. It is never negative: files may begin anew."""
        self._seen.append((at_s, bytes_done))
        while len(self._seen) > 2 and at_s - self._seen[1][0] >= self._window_s:
            self._seen.popleft()
        began_at_s, began_with = self._seen[0]
        if at_s > began_at_s:
            return max(0.0, (bytes_done - began_with) / (at_s - began_at_s))
        return 0.0
