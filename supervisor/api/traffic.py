"""REST: the requests of the last hour in short periods, which a page can draw without a database."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from xinfer.messages import ModelMetrics

_KEPT_S = 3600.0


class ModelTraffic(TypedDict):
    """What ended in one period, and ``in_flight`` at its end. Means are a sum over its count; seconds."""

    requests: int
    errors: int
    in_flight: int
    first_tokens: int
    first_token_seconds: float
    durations: int
    duration_seconds: float


class Period(TypedDict):
    """Until ``at``, Unix time, for ``seconds``; models without a request are left out."""

    at: float
    seconds: float
    models: dict[str, ModelTraffic]


class Traffic(TypedDict):
    """Oldest first."""

    object: str
    data: list[Period]


@dataclass(frozen=True, slots=True)
class _Counts:
    requests: int = 0
    errors: int = 0
    first_tokens: int = 0
    first_token_seconds: float = 0.0
    durations: int = 0
    duration_seconds: float = 0.0

    @classmethod
    def of(cls, metrics: ModelMetrics) -> _Counts:
        first, whole = metrics.time_to_first_token, metrics.duration
        return cls(metrics.requests, metrics.errors, sum(first.counts), first.total, sum(whole.counts), whole.total)


class TrafficRing:
    """The last hour, from counters that only grow: their differences are kept, and only of models that had requests."""

    def __init__(self, kept_s: float = _KEPT_S) -> None:
        self._kept_s = kept_s
        self._periods: deque[Period] = deque()
        self._before: dict[str, _Counts] = {}
        self._noted_at: float | None = None

    def note(self, at: float, sums: Mapping[str, ModelMetrics]) -> None:
        """What has been counted of each model by ``at``, Unix time in seconds."""
        now = {uid: _Counts.of(metrics) for uid, metrics in sums.items()}
        if self._noted_at is not None:
            busy = {uid: self._since(uid, now[uid], metrics.in_flight) for uid, metrics in sums.items()}
            models = {uid: each for uid, each in busy.items() if each["requests"] or each["in_flight"]}
            self._periods.append({"at": at, "seconds": at - self._noted_at, "models": models})
        self._before = now
        self._noted_at = at
        while self._periods and self._periods[0]["at"] <= at - self._kept_s:
            self._periods.popleft()

    def latest(self) -> list[Period]:
        """Oldest first."""
        return list(self._periods)

    def add_routes(self, routes: APIRouter) -> None:
        """Add the route of the ring."""
        routes.add_api_route("/v1/traffic", self.traffic, methods=["GET"], summary="The requests of the last hour.")

    async def traffic(self) -> Traffic:
        """Periods of a few seconds, each with what ended in it, over all supervisors."""
        return {"object": "list", "data": self.latest()}

    def _since(self, uid: str, now: _Counts, in_flight: int) -> ModelTraffic:
        before = self._before.get(uid, _Counts())
        if now.requests < before.requests:
            # A supervisor whose counts were in the sum is gone.
            before = now
        return {
            "requests": now.requests - before.requests,
            "errors": max(0, now.errors - before.errors),
            "in_flight": in_flight,
            "first_tokens": max(0, now.first_tokens - before.first_tokens),
            "first_token_seconds": round(max(0.0, now.first_token_seconds - before.first_token_seconds), 4),
            "durations": max(0, now.durations - before.durations),
            "duration_seconds": round(max(0.0, now.duration_seconds - before.duration_seconds), 4),
        }
