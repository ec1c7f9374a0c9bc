"""Conversations as a server sees them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.bench.servers import counting_engine, engine, measure, words
from xinfer.bench.plan import Level

Body = dict[str, Any]
TALKS = {"turns": 3, "turn_tokens": 4}


def plan(streams: int = 1, **facts: Any) -> dict[str, Any]:
    return {"levels": (Level("concurrency", streams),), "warm_up": 0, **facts}


def conversations(bodies: list[Body], turns: int = 3, shared: int = 0) -> list[list[Body]]:
    """Bodies by their first question, in the order in which they came."""
    found: dict[str, list[Body]] = {}
    for body in bodies:
        found.setdefault(body["messages"][bool(shared)]["content"], []).append(body)
    assert {len(talk) for talk in found.values()} == {turns}
    return list(found.values())


async def test_each_turn_begins_with_the_one_before_it() -> None:
    async with counting_engine() as (url, fake):
        await measure(url, plan=plan(streams=2, requests=12), **TALKS)
    for talk in conversations(fake.bodies):
        for before, after in pairwise(talk):
            old, new = before["messages"], after["messages"]
            assert new[: len(old)] == old
            assert [message["role"] for message in new[len(old) :]] == ["assistant", "user"]
        assert [len(words(body)) for body in talk] == [16, 16 + 8 + 4, 16 + 2 * (8 + 4)]


async def test_conversations_share_the_shared_prefix_and_no_more() -> None:
    async with counting_engine() as (url, fake):
        await measure(url, plan=plan(streams=2, requests=12), shared_prefix_tokens=6, **TALKS)
    talks = [words(talk[-1]) for talk in conversations(fake.bodies, shared=6)]
    assert len(talks) == 4
    assert len({tuple(talk[:6]) for talk in talks}) == 1
    assert len({talk[6] for talk in talks}) == 4
    assert {body["messages"][0]["role"] for body in fake.bodies} == {"system"}


async def test_a_turn_waits_for_the_answer_before_it() -> None:
    async with counting_engine(first_token_s=0.02) as (url, fake):
        await measure(url, plan=plan(requests=6), **TALKS)
    assert fake.most_at_once == 1
    assert [len(body["messages"]) for body in fake.bodies] == [1, 3, 5, 1, 3, 5]


async def test_streams_hold_conversations_side_by_side() -> None:
    async with counting_engine(first_token_s=0.02) as (url, fake):
        await measure(url, plan=plan(streams=3, requests=10), **TALKS)
    assert fake.most_at_once == 3
    assert len(conversations(fake.bodies)) == 18 / 3


async def test_warm_ups_are_conversations_of_their_own() -> None:
    async with counting_engine() as (url, fake):
        result = await measure(url, plan=plan(streams=2, requests=6, warm_up=None), **TALKS)
    assert len(conversations(fake.bodies)) == 2 + 2
    assert result.levels[0].median_leg("a").requests == 6


async def test_a_leg_for_a_while_ends_in_the_middle_of_conversations() -> None:
    async with engine(first_token_s=0.05) as (url, _):
        result = await measure(url, plan=plan(requests=None, duration_s=0.2), turns=100)
    assert 2 <= result.levels[0].median_leg("a").requests <= 5


async def test_both_servers_of_a_pair_hear_the_same_but_for_the_heads() -> None:
    async with counting_engine() as (url, fake), counting_engine() as (other_url, other):
        await measure(url, other_url, plan=plan(requests=3, rounds=2), **TALKS)
    ours, theirs = ([words(talk[-1]) for talk in conversations(each.bodies)] for each in (fake, other))
    assert len({tuple(talk[:4]) for talk in ours + theirs}) == 4
    assert len({tuple(talk[4:]) for talk in ours + theirs}) == 1


async def test_time_to_the_first_token_of_each_turn() -> None:
    async with engine(first_token_s=0.03) as (url, _):
        found = (await measure(url, plan=plan(requests=6), **TALKS)).levels[0].median_leg("a")
    assert found.ttft_later_ms
    assert len(found.ttft_p50_ms_by_turn) == 3
    assert all(ttft_ms and ttft_ms >= 30 for ttft_ms in found.ttft_p50_ms_by_turn)
    assert found.ttft_later_ms.p50 >= 30
