"""The smallest or largest value of the last seconds."""

from __future__ import annotations

from collections import deque


class Window:
    """The largest value since ``length_s`` seconds ago, or the smallest one. Each value is added and removed once.

    Times are seconds of any clock that does not go back.
    """

    def __init__(self, length_s: float, *, smallest: bool = False) -> None:
        self._length_s = length_s
        self._sign = -1.0 if smallest else 1.0
        self._values: deque[tuple[float, float]] = deque()
        self._began: float | None = None

    def add(self, value: float, now: float) -> None:
        if self._began is None:
            self._began = now
        signed = self._sign * value
        # An older value that is not larger will never be the largest one again.
        while self._values and self._values[-1][1] <= signed:
            self._values.pop()
        self._values.append((now, signed))
        while len(self._values) > 1 and self._values[0][0] < now - self._length_s:
            self._values.popleft()

    def extreme(self, now: float) -> float | None:
        """None until values have been added for the whole length."""
        if self._began is None or now - self._began < self._length_s:
            return None
        return self._sign * self._values[0][1]

    def so_far(self) -> float | None:
        """As ``extreme``, but for less than the length as well; None without a value."""
        return self._sign * self._values[0][1] if self._values else None

    def clear(self) -> None:
        """Begin anew."""
        self._values.clear()
        self._began = None
