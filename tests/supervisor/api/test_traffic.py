"""The ring behind ``GET /v1/traffic``: differences of counters, for an hour."""

from __future__ import annotations

import httpx

from supervisor.api.traffic import TrafficRing
from xinfer.messages import ModelMetrics


def counted(requests: int, errors: int = 0, in_flight: int = 0, seconds: float = 0.5) -> ModelMetrics:
    metrics = ModelMetrics(requests=requests, errors=errors, in_flight=in_flight)
    for _ in range(requests):
        metrics.duration.observe(seconds)
        metrics.time_to_first_token.observe(seconds / 2)
    return metrics


def test_each_period_has_what_came_in_it() -> None:
    ring = TrafficRing()
    ring.note(1000.0, {"m": counted(5)})
    assert ring.latest() == [], "what came before nobody looked belongs to no period"
    ring.note(1005.0, {"m": counted(8, errors=1, in_flight=2)})
    (period,) = ring.latest()
    assert (period["at"], period["seconds"]) == (1005.0, 5.0)
    assert period["models"] == {
        "m": {
            "requests": 3,
            "errors": 1,
            "in_flight": 2,
            "first_tokens": 3,
            "first_token_seconds": 0.75,
            "durations": 3,
            "duration_seconds": 1.5,
        }
    }


def test_models_without_requests_cost_nothing() -> None:
    ring = TrafficRing()
    for at in range(3):
        ring.note(float(at), {f"m{number}": counted(1) for number in range(10)})
    assert [period["models"] for period in ring.latest()] == [{}, {}]


def test_counts_that_shrink_are_no_requests() -> None:
    ring = TrafficRing()
    ring.note(0.0, {"m": counted(9)})
    ring.note(5.0, {"m": counted(2)})
    ring.note(10.0, {"m": counted(4)})
    assert [sum(each["requests"] for each in period["models"].values()) for period in ring.latest()] == [0, 2]


def test_an_hour_is_kept() -> None:
    ring = TrafficRing(kept_s=60.0)
    for at in range(0, 200, 5):
        ring.note(float(at), {})
    assert [ring.latest()[0]["at"], ring.latest()[-1]["at"]] == [140.0, 195.0]


async def test_route(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/traffic")).json() == {"object": "list", "data": []}
