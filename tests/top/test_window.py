"""Samples of metrics, and what they say over the last half minute."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from xinfer.top.sample import ModelSample, Sample, add_engine, read_models
from xinfer.top.view import draw
from xinfer.top.window import ModelRow, Window, quantile

PAGE = """
# TYPE xinfer_model_state gauge
xinfer_model_state{model="m",state="ready"} 1.0
xinfer_model_state{model="m",state="failed"} 0.0
# TYPE xinfer_model_replicas gauge
xinfer_model_replicas{model="m",stage="ready"} 2.0
xinfer_model_replicas{model="m",stage="loading"} 1.0
# TYPE xinfer_model_replicas_wanted gauge
xinfer_model_replicas_wanted{model="m"} 3.0
# TYPE xinfer_requests_in_flight gauge
xinfer_requests_in_flight{model="m"} 4.0
# TYPE xinfer_requests counter
xinfer_requests_total{model="m",outcome="ok"} 10.0
xinfer_requests_total{model="m",outcome="failed"} 2.0
# TYPE xinfer_time_to_first_token_seconds histogram
xinfer_time_to_first_token_seconds_bucket{model="m",le="0.1"} 6.0
xinfer_time_to_first_token_seconds_bucket{model="m",le="+Inf"} 8.0
xinfer_time_to_first_token_seconds_count{model="m"} 8.0
xinfer_time_to_first_token_seconds_sum{model="m"} 1.5
# TYPE xinference:model_request counter
xinference:model_request_total{model_uid="other"} 12.0
"""
ENGINE = """
vllm:generation_tokens_total{engine="0",model_name="m"} 100.0
vllm:num_requests_waiting{engine="0",model_name="m"} 3.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
"""


def row(*samples: tuple[float, dict[str, Any]]) -> ModelRow:
    """What is shown of ``m`` after these samples of it."""
    window = Window()
    for at, facts in samples:
        window.add(Sample(at, {"m": ModelSample(**facts)}))
    (only,) = window.rows()
    return only


def test_what_is_read() -> None:
    (model,) = read_models(PAGE).values()
    assert (model.state, model.ready, model.wanted, model.in_flight, model.requests) == ("ready", 2, 3, 4, 12)
    assert model.ttft == {0.1: 6, float("inf"): 8}
    assert (model.tokens, model.waiting, model.kv_cache) == (None, None, None)
    add_engine(model, ENGINE)
    add_engine(model, ENGINE.replace("0.25", "0.5"))
    assert (model.tokens, model.waiting, model.kv_cache) == (200, 6, 0.5)


def test_rates_are_of_the_window() -> None:
    steps = [(float(second), {"requests": 2.0 * second, "tokens": 100.0 * second}) for second in range(60)]
    shown = row(*steps, (60.0, {"requests": 120.0, "tokens": 9000.0}))
    assert shown.requests_per_s == pytest.approx(2)
    assert shown.tokens_per_s == pytest.approx((9000 - 3000) / 30)


def test_first_sample_has_no_rates() -> None:
    shown = row((1.0, {"requests": 5, "tokens": 7, "ttft": {1.0: 3, float("inf"): 3}}))
    assert (shown.requests_per_s, shown.tokens_per_s, shown.ttft_p50_s) == (None, None, None)


def test_counters_that_begin_anew_give_nothing() -> None:
    shown = row((0.0, {"requests": 50, "tokens": 90}), (1.0, {"requests": 3, "tokens": 4}))
    assert (shown.requests_per_s, shown.tokens_per_s) == (None, None)


def test_engine_that_is_not_reached() -> None:
    assert row((0.0, {"tokens": 5}), (1.0, {"tokens": None})).tokens_per_s is None


def test_model_that_came_later_and_one_that_is_gone() -> None:
    window = Window()
    window.add(Sample(0.0, {"gone": ModelSample()}))
    window.add(Sample(10.0, {"new": ModelSample(requests=0)}))
    window.add(Sample(12.0, {"new": ModelSample(requests=4)}))
    assert [(each.uid, each.requests_per_s) for each in window.rows()] == [("new", 2.0)]


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({0.1: 10, 1.0: 10, float("inf"): 10}, 0.5, 0.05),
        ({0.1: 0, 1.0: 10, float("inf"): 10}, 0.9, 0.91),
        ({0.1: 0, 1.0: 0, float("inf"): 4}, 0.5, 1.0),
        ({0.1: 0, float("inf"): 0}, 0.5, None),
        ({0.1: -3, float("inf"): -3}, 0.5, None),
        ({}, 0.5, None),
    ],
)
def test_quantile(buckets: dict[float, float], share: float, expected: float | None) -> None:
    assert quantile(buckets, share) == (None if expected is None else pytest.approx(expected))


def drawn(window: Window) -> str:
    """On the narrowest terminal."""
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(draw(window, "http://127.0.0.1:9997"))
    return console.export_text()


def test_picture() -> None:
    window = Window()
    node = {
        "ip_address": "10.0.0.1",
        "cpu_count": 8,
        "cpu_available": 6,
        "mem_used": 2**30,
        "mem_total": 2**32,
        "gpu_count": 2,
        "gpu_utilization": 41.5,
        "gpu_vram_total": 2**34,
        "gpu_vram_available": 2**33,
    }
    for at in (0.0, 2.0):
        model = ModelSample("ready", 1, 2, 3, 10 * at, {0.1: 4 * at, float("inf"): 4 * at}, 100 * at, 1, 0.5)
        window.add(Sample(at, {"m": model, "asleep": ModelSample("sleeping")}, (node,)))
    lines = [line.split() for line in drawn(window).splitlines()]
    assert ["m", "ready", "1/2", "3", "1", "10.0", "100", "50", "ms", "90", "ms", "50", "%"] in lines
    assert ["asleep", "sleeping", "0/0", "0", "-", "0.0", "-", "-", "-", "-"] in lines
    assert ["10.0.0.1", "25", "%", "1.0/4.0", "GiB", "2", "42", "%", "8.0/16.0", "GiB"] in lines
