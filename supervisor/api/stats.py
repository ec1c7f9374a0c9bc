"""REST: what each model does now, for pages that show it: requests, tokens per second, time to first token, KV cache."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from fastapi import APIRouter
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from supervisor.access.caller import visible
from supervisor.api.engine_stats import EnginesOfModels, ModelEngines
from supervisor.api.parameters import Requester
from supervisor.api.traffic import Period, TrafficRing
from supervisor.model_table import LiveTable

_RECENT_S = 300.0
_BUSY_S = 60.0


class ModelStats(TypedDict):
    """Counts are of the last hour, the mean time to first token of the last five minutes, the rest is of now.

    None is what is not known. Engines are not asked if their model has had no request for a minute.
    """

    model_uid: str
    requests: int
    errors: int
    in_flight: int
    ttft_s: float | None
    tokens_per_s: float | None
    kv_cache: float | None
    waiting: int | None


class StatsList(TypedDict):
    """Models without a request in the last hour are left out."""

    object: str
    data: list[ModelStats]


class StatsApi:
    """Handler of ``/v1/stats``. Nothing is measured while nobody asks."""

    def __init__(self, models: LiveTable, traffic: TrafficRing) -> None:
        self._models = models
        self._traffic = traffic
        self._engines = EnginesOfModels()

    def add_routes(self, routes: APIRouter) -> None:
        """Add the route of this handler."""
        routes.add_api_route("/v1/stats", self.stats, methods=["GET"], summary="What each model does now.")

    async def stats(self, caller: Requester) -> StatsList:
        """Of the models that the caller may know of."""
        periods = self._traffic.latest()
        now = time.time()
        busy = recently_used(periods, now - _BUSY_S)
        engines = await self._engines.latest({uid: each for uid, each in self._models.all.items() if uid in busy})
        known = {model.spec.uid for model in visible(self._models.all.values(), caller)}
        return {"object": "list", "data": summary(periods, now, known, busy, engines)}


def recently_used(periods: Iterable[Period], since: float) -> set[str]:
    """The models that had a request after the Unix time ``since``."""
    found: set[str] = set()
    for period in periods:
        if period["at"] > since:
            found.update(period["models"])
    return found


def summary(
    periods: Iterable[Period], now: float, known: set[str], busy: set[str], engines: Mapping[str, ModelEngines]
) -> list[ModelStats]:
    """A line for each of the ``known`` models in ``periods``, oldest first. A model that is not busy generates nothing."""
    lines: dict[str, ModelStats] = {}
    recent: dict[str, tuple[float, int]] = {}
    for period in periods:
        for line in lines.values():
            line["in_flight"] = 0
        for uid, traffic in period["models"].items():
            if uid not in known:
                continue
            line = lines.setdefault(uid, _line(uid))
            line["requests"] += traffic["requests"]
            line["errors"] += traffic["errors"]
            line["in_flight"] = traffic["in_flight"]
            if period["at"] > now - _RECENT_S:
                seconds, count = recent.get(uid, (0.0, 0))
                recent[uid] = (seconds + traffic["first_token_seconds"], count + traffic["first_tokens"])
    for uid, line in lines.items():
        seconds, count = recent.get(uid, (0.0, 0))
        if count:
            line["ttft_s"] = round(seconds / count, 4)
        if uid not in busy:
            line["tokens_per_s"] = 0.0
        elif uid in engines:
            found = engines[uid]
            line["tokens_per_s"] = None if found.tokens_per_s is None else round(found.tokens_per_s, 1)
            line["kv_cache"] = round(found.kv_cache, 4)
            line["waiting"] = found.waiting
    return list(lines.values())


def _line(uid: str) -> ModelStats:
    return {
        "model_uid": uid,
        "requests": 0,
        "errors": 0,
        "in_flight": 0,
        "ttft_s": None,
        "tokens_per_s": None,
        "kv_cache": None,
        "waiting": None,
    }
