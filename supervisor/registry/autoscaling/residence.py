"""How long a request is under way if it need not wait, by Little's law: a plain class."""

from __future__ import annotations

# Measurements come twice a second. A load that grows has more in flight than its rate of the last seconds says, so what is taken
# are means over about a minute, and nothing before they are there.
_NEW_SHARE = 0.01
_LEAST_MEASUREMENTS = 120
_LEAST_RATE = 0.1


class Residence:
    """The mean of the requests in flight over the mean of their rate."""

    def __init__(self) -> None:
        self._in_flight = 0.0
        self._per_s = 0.0
        self._weight = 0.0
        self._count = 0

    def observe(self, in_flight: int, per_s: float) -> None:
        """One measurement, while nothing waits."""
        kept = 1 - _NEW_SHARE
        self._in_flight = kept * self._in_flight + _NEW_SHARE * in_flight
        self._per_s = kept * self._per_s + _NEW_SHARE * per_s
        self._weight = kept * self._weight + _NEW_SHARE
        self._count += 1

    @property
    def seconds(self) -> float | None:
        """None as long as it cannot be told."""
        if self._count < _LEAST_MEASUREMENTS or self._per_s < _LEAST_RATE * self._weight:
            return None
        return self._in_flight / self._per_s
