"""Whole runs against real servers that pace their answers."""

from __future__ import annotations

import os

import pytest

from tests.bench.servers import EveryOtherRefused, engine, measure
from tests.supervisor.servers import serving
from worker.fake.behaviour import Behaviour
from worker.fake.server import FakeEngine
from xinfer.bench.metrics import LegMetrics
from xinfer.bench.plan import Level
from xinfer.bench.target import choose
from xinfer.cluster.ports import free_port
from xinfer.errors import EngineTimeout, InternalError, ModelNotFound, Unavailable, XinferError

# Five seconds of load, and as many on the other side.
heavy = pytest.mark.heavy


async def only(*urls: str, **asked: object) -> LegMetrics:
    """The figures of a run with one level."""
    return (await measure(*urls, **asked)).levels[0].median_leg("a")


@pytest.mark.parametrize("api", ["chat", "completions"])
async def test_times_are_those_of_the_server(api: str) -> None:
    async with engine(first_token_s=0.1, gap_s=0.02) as (url, fake):
        found = await only(url, api=api, plan={"requests": 4, "warm_up": 0})
    assert found.ttft_ms
    assert found.itl_ms
    assert found.e2e_ms
    assert 100 <= found.ttft_ms.p50 < 160
    assert 20 <= found.itl_ms.p50 < 32
    assert 100 + 8 * 20 <= found.e2e_ms.p50 < 400
    assert (found.requests, found.chunks, found.completion_tokens, found.errors) == (4, 32, 8, {})
    assert 0 < found.own_cpu_share < 1
    assert (fake.served, fake.last_body["max_tokens"], fake.last_body["ignore_eos"]) == (4, 8, True)


async def test_answers_in_one_piece() -> None:
    async with engine(first_token_s=0.1) as (url, _):
        found = await only(url, stream=False)
    assert found.ttft_ms is None
    assert found.e2e_ms
    assert 100 <= found.e2e_ms.p50 < 200
    assert found.completion_tokens == 8


async def test_streams_are_served_side_by_side() -> None:
    levels = Level("concurrency", 1), Level("concurrency", 6)
    async with engine(first_token_s=0.05) as (url, fake):
        result = await measure(url, plan={"levels": levels, "requests": 6, "warm_up": None})
    one, six = (found.median_leg("a") for found in result.levels)
    assert six.requests_per_s > 1.5 * one.requests_per_s
    assert fake.served == 6 + 6 + 1 + 6  # the last two are warm-ups


@heavy
async def test_versus_tells_what_one_server_adds() -> None:
    async with engine(first_token_s=0.15) as (slow, _), engine(first_token_s=0.05) as (fast, other):
        result = await measure(slow, fast, plan={"rounds": 2})
    (level,) = result.levels
    assert [list(each.legs) for each in level.rounds] == [["a", "b"], ["b", "a"]]
    assert level.versus["ttft_p50_added_ms"].median == pytest.approx(100, abs=30)
    assert level.versus["tokens_per_s_ratio"].median < 0.8
    assert other.served == 1 + 2 * 3


@heavy
async def test_one_server_against_itself_adds_nothing() -> None:
    async with engine(first_token_s=0.05) as (url, _):
        result = await measure(url, url, plan={"rounds": 3})
    assert result.levels[0].versus["ttft_p50_added_ms"].median == pytest.approx(0, abs=10)


async def test_a_rate_is_kept() -> None:
    async with engine(first_token_s=0.05) as (url, _):
        found = await only(url, plan={"levels": (Level("rate", 40),), "requests": None, "duration_s": 1.0})
    assert 20 < found.requests < 65
    assert not found.behind


async def test_failed_requests_are_counted_and_left_out() -> None:
    app = EveryOtherRefused(FakeEngine("m", 4096, Behaviour(first_token_s=0.05)).app())
    async with serving(app) as url:
        found = await only(url, plan={"requests": 6})
    assert (found.requests, found.errors) == (3, {"429 model_overloaded": 3})
    assert found.ttft_ms
    assert found.ttft_ms.p50 >= 50


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [({"fault": "error", "fault_after": 3}, InternalError), ({"fault": "hang", "fault_after": 3}, EngineTimeout)],
)
async def test_no_answer_at_all_ends_the_run(behaviour: dict[str, object], error: type[XinferError]) -> None:
    async with engine(**behaviour) as (url, _):
        with pytest.raises(error):
            await measure(url, plan={"timeout_s": 1})


async def test_nobody_there() -> None:
    with pytest.raises(Unavailable, match="No server answers"):
        await measure(f"http://127.0.0.1:{free_port('127.0.0.1')}")


async def test_the_second_server_needs_to_be_told_which_model_only_if_it_has_several() -> None:
    async with engine("one") as (url, _), engine("other") as (other, _):
        result = await measure(url, other)
    assert [target.model for target in result.targets.values()] == ["one", "other"]


async def test_cpu_time_of_a_process() -> None:
    async with engine() as (url, _):
        found = await only(url, watched={"this": [os.getpid()]})
    assert found.cpu["this"].seconds > 0
    assert found.cpu["this"].us_per_chunk == pytest.approx(1e6 * found.cpu["this"].seconds / 24)


async def test_a_server_of_another_kind() -> None:
    async with engine() as (url, _):
        with pytest.raises(Unavailable, match="does not list models"):
            await measure(url + "/health")


def test_several_models() -> None:
    assert choose("u", ["a"], "--model") == "a"
    assert choose("u", ["a", "b"], "--versus-model", preferred="b") == "b"
    with pytest.raises(ModelNotFound, match="--model, since u has several models: a, b"):
        choose("u", ["a", "b"], "--model")
    with pytest.raises(ModelNotFound, match="runs no model"):
        choose("u", [], "--model")
