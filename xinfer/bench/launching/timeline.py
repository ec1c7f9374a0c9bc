"""From moments to durations: where the time of a launch went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Moment = tuple[str, float]
"""A stage and when it began, in Unix time."""

# The stage in which all that is left is to ask.
_NAMES = {"ready": "first token"}


def durations(began_at: float, ended_at: float, moments: Iterable[Moment], before: str = "request") -> dict[str, float]:
    """Seconds by stage, in order; they add up to the whole. ``before`` is what precedes the first stage.

    Of a stage that is there twice the first counts, and none from outside of the time that was measured.
    """
    parts: dict[str, float] = {}
    stage = before
    since = began_at
    for name, at in sorted(moments, key=lambda moment: moment[1]):
        if not began_at <= at <= ended_at or name == stage or name in parts:
            continue
        parts[stage] = at - since
        stage = name
        since = at
    parts[stage] = ended_at - since
    return {_NAMES.get(name, name): seconds for name, seconds in parts.items()}


def moments(progress: Mapping[str, Any]) -> list[Moment]:
    """Those in the answer to ``GET /v1/models/{uid}/progress``: the launch's own and its latest replica's."""
    replicas = [_of(each) for each in progress.get("replicas") or ()]
    latest = max((each for each in replicas if each), key=lambda each: each[0][1], default=[])
    return [*_of(progress), *latest]


def _of(report: Mapping[str, Any]) -> list[Moment]:
    return [(str(each["stage"]), float(each["began_at"])) for each in report.get("stages") or ()]
