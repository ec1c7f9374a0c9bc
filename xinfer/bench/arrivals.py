"""When requests arrive that do not wait for each other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random


def poisson(rate: float, seed: int) -> Iterator[float]:
    """Seconds after the start, without an end; the gaps are independent, and ``1 / rate`` on average."""
    random = Random(seed)
    return itertools.accumulate(random.expovariate(rate) for _ in itertools.count())


def bounded(times: Iterator[float], requests: int, duration_s: float | None) -> list[float]:
    """Those within ``duration_s``, or the first ``requests`` if there is no duration; one at least."""
    if duration_s is None:
        return list(itertools.islice(times, requests))
    first = next(times)
    return [first, *itertools.takewhile(lambda time: time < duration_s, times)]
