"""At which load per replica a target held and at which it did not, learned from measurements. A plain class without clock."""

from __future__ import annotations

import math

_SMALLEST = 0.25
_STEP = 1.15
_STEPS = 64
# Evidence counts half after so long: requests become longer and shorter.
_HALF_LIFE_S = 1800.0
# As if the target had held for so long at every load: a single slow moment proves nothing, and old misses lose their weight.
_BENEFIT_OF_DOUBT_S = 5.0
_LARGEST_WEIGHT = 1e6
# The least evidence that a load was ever carried.
_SEEN_S = 1.0


class HeldLoads:
    """The share of the time for which the target was missed, by the load per replica.

    A target that held at a load would have held at every smaller one, and one that was missed would have been missed at every
    larger one. So the estimate for a load is the misses at it and below over these and the hits at it and above: the method of
    Reed and Muench ("A simple method of estimating fifty per cent endpoints", American Journal of Hygiene 27, 1938). It never
    falls as the load grows, however few measurements there are.
    """

    def __init__(self) -> None:
        self._hits = [0.0] * _STEPS
        self._misses = [0.0] * _STEPS
        # What a second counts now. That it grows is what old evidence loses.
        self._weight = 1.0

    def hit(self, load: float, seconds: float) -> None:
        """The target held for so long at this load or a larger one."""
        self._pass(seconds)
        # Between two steps what is certain is the lower one.
        number = math.floor(_step_of(load))
        if number >= 0:
            self._hits[min(number, _STEPS - 1)] += seconds * self._weight

    def miss(self, load: float, seconds: float) -> None:
        """The target was missed for so long at this load or a smaller one."""
        self._pass(seconds)
        number = math.ceil(_step_of(load))
        if number < _STEPS:
            self._misses[max(number, 0)] += seconds * self._weight

    @property
    def largest_seen(self) -> float | None:
        """The largest load at which the target is known to have held for a moment."""
        hits = 0.0
        for number in range(_STEPS - 1, -1, -1):
            hits += self._hits[number]
            if hits >= _SEEN_S * self._weight:
                return _load_of(number)
        return None

    def share_missed(self, load: float) -> float:
        """For which part of the time the target would be missed at this load."""
        number = min(max(math.ceil(_step_of(load)), 0), _STEPS - 1)
        return self._share(sum(self._misses[: number + 1]), sum(self._hits[number:]))

    def largest(self, share: float) -> float:
        """The largest load at which the target is missed for at most ``share`` of the time; infinite if nothing is against it."""
        misses = 0.0
        hits = sum(self._hits)
        for number in range(_STEPS):
            misses += self._misses[number]
            if misses and self._share(misses, hits) > share:
                return _load_of(number - 1)
            hits -= self._hits[number]
        return math.inf

    def _share(self, misses: float, hits: float) -> float:
        return misses / (misses + hits + _BENEFIT_OF_DOUBT_S * self._weight)

    def _pass(self, seconds: float) -> None:
        self._weight *= 2 ** (seconds / _HALF_LIFE_S)
        if self._weight > _LARGEST_WEIGHT:
            self._hits = [hits / self._weight for hits in self._hits]
            self._misses = [misses / self._weight for misses in self._misses]
            self._weight = 1.0


def _step_of(load: float) -> float:
    return math.log(max(load, 1e-6) / _SMALLEST, _STEP)


def _load_of(number: int) -> float:
    return float(_SMALLEST * _STEP**number)
