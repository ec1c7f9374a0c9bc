"""The arithmetic: percentiles, legs, medians of legs, pairs."""

from __future__ import annotations

import pytest

from tests.bench.samples import failed, leg, sample, whole
from xinfer.bench.aggregates import median_leg, pair, ranges
from xinfer.bench.runner import leg_order
from xinfer.bench.stats import Latency, Range, percentile


@pytest.mark.parametrize(("share", "value"), [(0, 1), (0.5, 2.5), (0.9, 3.7), (1, 4)])
def test_percentile(share: float, value: float) -> None:
    assert percentile([1, 2, 3, 4], share) == pytest.approx(value)
    assert percentile([7], share) == 7


def test_spread() -> None:
    assert Latency.of([0.3, 0.1, 0.2]) == Latency(pytest.approx(200), pytest.approx(280), pytest.approx(298), 200)
    assert Latency.of([]) is None


def test_a_leg() -> None:
    found = leg(sample(0.0), sample(0.2, ttft_s=0.3), failed(0.1), wall_s=2, own_cpu_s=0.5, engine=0.022)
    assert (found.requests, found.errors, found.chunks) == (2, {"429 model_overloaded": 1}, 22)
    assert found.window_s == pytest.approx(0.6)
    assert found.requests_per_s == pytest.approx(2 / 0.6)
    assert found.tokens_per_s == pytest.approx(22 / 0.6)
    assert (found.prompt_tokens, found.completion_tokens, found.own_cpu_share) == (20, 11, 0.25)
    assert found.ttft_ms
    assert found.itl_ms
    assert found.e2e_ms
    assert found.ttft_ms.p50 == pytest.approx(200)
    assert found.itl_ms.p50 == pytest.approx(10)
    assert found.e2e_ms.p50 == pytest.approx(300)
    assert found.cpu["engine"].us_per_chunk == pytest.approx(1000)
    assert found.cpu["engine"].ms_per_request == pytest.approx(11)


def test_turns_of_conversations() -> None:
    first, second = sample(ttft_s=0.3), sample(ttft_s=0.1, turn=1)
    found = leg(first, second, sample(ttft_s=0.2, turn=1), sample(ttft_s=0.1, turn=3))
    assert found.ttft_p50_ms_by_turn == (pytest.approx(300), pytest.approx(150), None, pytest.approx(100))
    assert found.ttft_later_ms
    assert found.ttft_later_ms.p50 == pytest.approx(100)
    assert leg(first).ttft_later_ms is None
    assert median_leg([found, leg(first, second)]).ttft_p50_ms_by_turn == (
        *(pytest.approx(ms) for ms in (300, 125)), None, pytest.approx(100)
    )  # fmt: skip


def test_a_leg_of_whole_answers_has_no_time_to_the_first_token() -> None:
    found = leg(whole(), whole(0.2), engine=0.01)
    assert (found.ttft_ms, found.itl_ms, found.chunks) == (None, None, 0)
    assert found.tokens_per_s == pytest.approx(80)
    assert (found.cpu["engine"].us_per_chunk, found.cpu["engine"].ms_per_request) == (None, pytest.approx(5))


def test_a_leg_in_which_all_failed() -> None:
    found = leg(failed(), failed())
    assert (found.requests, found.requests_per_s, found.ttft_ms, found.completion_tokens) == (0, 0, None, None)


def test_events_stand_in_for_tokens_that_nobody_counted() -> None:
    found = leg(sample(tokens=11, completion_tokens=None))
    assert found.completion_tokens is None
    assert found.tokens_per_s == pytest.approx(11 / 0.2)


def test_a_generator_that_was_late() -> None:
    assert leg(sample(late_s=0.3)).behind
    assert not leg(sample(late_s=0.01)).behind


def test_typical_is_the_median_of_each_figure_and_the_sum_of_errors() -> None:
    slow = sample(ttft_s=0.9)
    found = median_leg([leg(sample(), failed()), leg(slow, failed()), leg(sample(), wall_s=9)])
    assert found.ttft_ms
    assert found.ttft_ms.p50 == pytest.approx(100)
    assert (found.errors, found.requests) == ({"429 model_overloaded": 2}, 1)


def test_turns_are_a_b_b_a() -> None:
    assert [leg_order(number, versus=True) for number in range(3)] == [("a", "b"), ("b", "a"), ("a", "b")]
    assert leg_order(1, versus=False) == ("a",)


def test_a_pair() -> None:
    a, b = leg(sample(ttft_s=0.11, gap_s=0.012)), leg(sample(ttft_s=0.1, gap_s=0.01))
    found = pair(a, b)
    assert found.tokens_per_s_ratio == pytest.approx(0.2 / 0.23)
    assert found.ttft_p50_added_ms == found.ttft_p99_added_ms == pytest.approx(10)
    assert found.ttft_p50_added_percent == pytest.approx(10)
    assert found.itl_p50_added_ms == pytest.approx(2)
    assert found.e2e_p50_added_ms == pytest.approx(30)


def test_a_pair_has_no_figure_that_one_side_lacks() -> None:
    found = pair(leg(sample()), leg(failed()))
    assert (found.tokens_per_s_ratio, found.ttft_p50_added_ms) == (None, None)
    assert ranges([found]) == {}


def test_pairs_have_a_median_and_extremes() -> None:
    base = leg(sample(ttft_s=0.1))
    found = ranges([pair(leg(sample(ttft_s=ttft)), base) for ttft in (0.11, 0.2, 0.12)])
    added = found["ttft_p50_added_ms"]
    assert added == Range(pytest.approx(20), pytest.approx(10), pytest.approx(100))
