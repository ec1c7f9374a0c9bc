"""One measurement, and its split into the stages of a launch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from time import perf_counter
from typing import Any

Moment = tuple[str, float]
"""A stage and when it began, in Unix time."""

# Once a model is ready, all that is left is to send the request.
_NAMES = {"ready": "first token"}


@dataclass(frozen=True, slots=True)
class Sample:
    """A value in the unit of its row, and its parts."""

    value: float
    parts: Mapping[str, float] = field(default_factory=dict)
    """Of a launch: seconds by stage, in order, which add up to the value."""


class Clock:
    """Starts when it is made."""

    def __init__(self) -> None:
        # Two clocks: durations need one that nobody sets, and a cluster reports its stages in Unix time.
        self.began = perf_counter()
        self.began_at = time.time()

    def now(self) -> float:
        """The present moment, on the clock of ``perf_counter``."""
        return perf_counter()

    def sample(self, ended: float, moments: Iterable[Moment], before: str = "request") -> Sample:
        """From the start to ``ended``, split by the stages of a launch."""
        seconds = ended - self.began
        return Sample(seconds, durations(self.began_at, self.began_at + seconds, moments, before))


def durations(began_at: float, ended_at: float, moments: Iterable[Moment], before: str = "request") -> dict[str, float]:
    """Seconds by stage, in order; they add up to the whole. ``before`` is what precedes the first stage.

    A stage that is there twice counts from its first moment. Moments outside of the time are left out.
    """
    parts: dict[str, float] = {}
    stage = before
    since = began_at
    for name, at in sorted(moments, key=itemgetter(1)):
        if not began_at <= at <= ended_at or name == stage or name in parts:
            continue
        parts[stage] = at - since
        stage = name
        since = at
    parts[stage] = ended_at - since
    return {_NAMES.get(name, name): seconds for name, seconds in parts.items()}


def moments(progress: Mapping[str, Any]) -> list[Moment]:
    """The stages in a model's progress, as the API reports it: the launch's and its latest replica's."""
    latest: list[Moment] = []
    for replica in progress.get("replicas") or ():
        stages = _stages(replica)
        if stages and (not latest or stages[0][1] > latest[0][1]):
            latest = stages
    return _stages(progress) + latest


def _stages(report: Mapping[str, Any]) -> list[Moment]:
    return [(str(each["stage"]), float(each["began_at"])) for each in report.get("stages") or ()]
