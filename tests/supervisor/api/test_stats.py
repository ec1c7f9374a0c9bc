"""What each model does now: the sums of the last hour, and what engines say."""

from __future__ import annotations

import pytest

from supervisor.api.engine_stats import EnginesOfModels, EngineStats, ModelEngines, TokenRates
from supervisor.api.stats import recently_used, summary
from supervisor.api.traffic import ModelTraffic, Period
from tests.supervisor.samples import model_status
from tests.supervisor.servers import fake_engine

NOW = 10_000.0
PAGE = b"""# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:generation_tokens_total{engine="0",model_name="m"} 1.5e+03
vllm:generation_tokens_created{engine="0",model_name="m"} 1.795e+09
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 9.0
"""


def used(requests: int, in_flight: int = 0, ttft_s: float = 0.1) -> ModelTraffic:
    return {
        "requests": requests,
        "errors": 0,
        "in_flight": in_flight,
        "first_tokens": requests,
        "first_token_seconds": requests * ttft_s,
        "durations": requests,
        "duration_seconds": 0.0,
    }


def period(ago_s: float, **models: ModelTraffic) -> Period:
    return {"at": NOW - ago_s, "seconds": 5.0, "models": models}


def test_three_lines_of_an_engines_page_are_read() -> None:
    assert EngineStats.read(PAGE) == EngineStats(tokens=1500.0, kv_cache=0.25, waiting=2)
    assert EngineStats.read(b"") == EngineStats()


def test_rates_are_from_one_question_to_the_next() -> None:
    rates = TokenRates()
    assert rates.rate("e", 0.0, 100) is None
    assert rates.rate("e", 5.0, 200) == pytest.approx(20.0)
    assert rates.rate("e", 6.0, 10) is None, "another engine at the same address"
    assert rates.rate("e", 100.0, 5000) is None, "too long ago to say something of now"
    rates.keep(())
    assert rates.rate("e", 101.0, 6000) is None


def test_sums_and_means() -> None:
    periods = [
        period(1000, m=used(4, ttft_s=9.0)),
        period(100, m=used(2, in_flight=3, ttft_s=0.2)),
        period(10, other=used(1)),
    ]
    (line,) = summary(periods, NOW, {"m"}, {"m"}, {"m": ModelEngines(12.34, 0.5, 1)})
    assert line == {
        "model_uid": "m",
        "requests": 6,
        "errors": 0,
        "in_flight": 0,
        "ttft_s": 0.2,
        "tokens_per_s": 12.3,
        "kv_cache": 0.5,
        "waiting": 1,
    }


def test_what_is_not_known_is_none_and_who_is_idle_generates_nothing() -> None:
    periods = [period(1000, idle=used(1), silent=used(1)), period(3, silent=used(1, in_flight=2))]
    busy = recently_used(periods, NOW - 60)
    assert busy == {"silent"}
    found = {line["model_uid"]: line for line in summary(periods, NOW, {"idle", "silent"}, busy, {})}
    assert (found["idle"]["tokens_per_s"], found["idle"]["kv_cache"], found["idle"]["ttft_s"]) == (0.0, None, None)
    assert (found["silent"]["tokens_per_s"], found["silent"]["in_flight"]) == (None, 2)


async def test_engines_are_asked_once_for_all_who_look() -> None:
    async with fake_engine(tokens=3) as engine:
        models = {"m": model_status(engine)}
        engines = EnginesOfModels()
        first = await engines.latest(models)
        assert await engines.latest(models) is first
