"""Counters of vLLM engines: reading them, and what a leg added."""

from __future__ import annotations

import pytest

from tests.bench.servers import counting_engine, engine, measure
from xinfer.bench import report, tables
from xinfer.bench.engines import Engines, counts, use
from xinfer.bench.metrics import EngineUse
from xinfer.bench.result import Result
from xinfer.bench.sender import Sender
from xinfer.cluster.ports import free_port
from xinfer.errors import Unavailable

PAGE = """
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="a b}c"} 1.5e+03
vllm:prompt_tokens_total{engine="1",model_name="a b}c"} 500.0 1395066363000
vllm:prompt_tokens_created{engine="0",model_name="a b}c"} 1.75e+09
vllm:prompt_tokens_cached_total{engine="0",model_name="a b}c"} 9.0
vllm:external_prefix_cache_hits_total{engine="0",model_name="a b}c"} 9.0
vllm:prefix_cache_queries_total{engine="0",model_name="a b}c"} 2000.0
vllm:prefix_cache_hits_total{engine="0",model_name="a b}c"} 0.0
"""
COUNTS = {"prompt_tokens": 2000, "prefix_cache_queries": 2000, "prefix_cache_hits": 0}
NEXT = {"prompt_tokens": 2300, "prefix_cache_queries": 2400, "prefix_cache_hits": 300}


def test_labels_are_summed() -> None:
    assert counts(PAGE) == COUNTS


def test_older_names() -> None:
    assert counts(PAGE.replace("_total", "")) == COUNTS


@pytest.mark.parametrize("page", ["", "<html>", "vllm:prompt_tokens_total NaN", "vllm:prompt_tokens_bucket 1"])
def test_a_page_without_counters(page: str) -> None:
    assert counts(page) == {}


def test_what_a_leg_added() -> None:
    idle = {"prompt_tokens": 7, "prefix_cache_queries": 7, "prefix_cache_hits": 7}
    less = {**NEXT, "prompt_tokens": 2100}
    assert use({"x": COUNTS}, {"x": NEXT}) == EngineUse(0.75, None, {"x": 300})
    assert use({"x": COUNTS, "y": idle}, {"x": NEXT, "y": idle}) == EngineUse(0.75, 1.0, {"x": 300, "y": 0})
    assert use({"x": COUNTS, "y": COUNTS}, {"x": NEXT, "y": less}) == EngineUse(0.75, 0.75, {"x": 300, "y": 100})


def test_what_one_engine_does_not_tell_is_not_told_of_all() -> None:
    assert use({"x": COUNTS, "y": {}}, {"x": NEXT, "y": NEXT}) == EngineUse(None, None, {"x": 300})
    assert use({"x": COUNTS, "y": COUNTS}, {"x": NEXT, "y": {}}) == EngineUse(None, None, {"x": 300})


def test_an_engine_that_began_anew_tells_nothing() -> None:
    assert use({"x": NEXT}, {"x": COUNTS}) == EngineUse()


def test_nobody_asked_them_anything() -> None:
    assert use({"x": COUNTS, "y": COUNTS}, {"x": COUNTS, "y": COUNTS}) == EngineUse(None, None, {"x": 0, "y": 0})


def told(result: Result) -> list[str]:
    """Its warnings but one: server and generator share this process, which may take all of a core."""
    return [line for line in report.warnings(result) if "generator took" not in line]


async def test_hits_of_conversations_and_which_engine_had_them() -> None:
    async with counting_engine() as (url, _), counting_engine() as (idle, _):
        result = await measure(url, engines=(url, idle), plan={"requests": 6, "warm_up": 0}, turns=3, turn_tokens=4)
    first, second, third = 16, 16 + 8 + 4, 16 + 2 * (8 + 4)
    asked = first + second + third
    found = result.levels[0].median_leg("a").engines
    assert found == EngineUse(pytest.approx((first + second) / asked), 1.0, {url: 2 * asked, idle: 0})
    table = tables.table(result)
    cells = dict(zip(table.headers, table.rows[0], strict=True))
    assert (cells["CACHE HITS"], cells["BUSIEST ENGINE"]) == ("52.4%", "100.0%")
    assert told(result) == []


async def test_two_servers_that_are_engines_themselves() -> None:
    async with counting_engine() as (url, _), counting_engine() as (other, _):
        result = await measure(url, other, engines=(url, other), plan={"warm_up": 0}, turns=2)
    table = tables.table(result)
    cells = dict(zip(table.headers, table.rows[0], strict=True))
    assert cells["CACHE HITS A"] == cells["CACHE HITS B"] == "22.2%"  # 16 words of 16 and of 16 + 8 + 32
    assert cells["BUSIEST ENGINE A"] == cells["BUSIEST ENGINE B"] == "100.0%"


async def test_an_engine_without_counters_leaves_the_columns_out() -> None:
    async with engine() as (url, _):
        result = await measure(url, engines=(url,))
    assert result.levels[0].median_leg("a").engines == EngineUse()
    assert not {"CACHE HITS", "BUSIEST ENGINE"} & set(tables.table(result).headers)
    assert told(result) == [f"{url}/metrics has no counters of vLLM's; figures of engines are left out."]


async def test_an_engine_that_is_not_there_is_told_of_at_once() -> None:
    async with counting_engine() as (url, fake):
        with pytest.raises(Unavailable, match="No engine answers"):
            await measure(url, engines=(f"http://127.0.0.1:{free_port('127.0.0.1')}",))
    assert fake.bodies == []


async def test_an_engine_that_goes_away_does_not_end_the_run() -> None:
    async with Sender.opened(timeout_s=5) as sender:
        async with counting_engine() as (url, _):
            engines = Engines(sender, (url,))
            before = await engines.settled()
        assert await engines.use_since(before) == EngineUse()


async def test_without_engines_nothing_is_told() -> None:
    async with counting_engine() as (url, _):
        result = await measure(url)
    assert result.levels[0].median_leg("a").engines is None
