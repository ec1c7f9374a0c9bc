"""Arrivals and levels, and the two loops, with requests that are played."""

from __future__ import annotations

import asyncio
import statistics
from itertools import islice, pairwise, repeat
from time import perf_counter

import pytest

from xinfer.bench import load
from xinfer.bench.plan import Level, Plan
from xinfer.bench.sample import Sample
from xinfer.bench.workload import Conversation, Workload

HELLO = Conversation(shared="", texts=("hello",))


class Played:
    """Requests that take a while; how many there were, and how many at once."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.sent = self.now = self.most = 0

    async def __call__(self) -> Sample:
        self.sent, self.now = self.sent + 1, self.now + 1
        self.most = max(self.most, self.now)
        began = perf_counter()
        await asyncio.sleep(self.takes_s)
        self.now -= 1
        return Sample(began, perf_counter())


def test_gaps_are_as_random_as_their_mean() -> None:
    times = list(islice(load.poisson(50, seed=1), 5000))
    gaps = [late - early for early, late in pairwise(times)]
    assert statistics.fmean(gaps) == pytest.approx(1 / 50, rel=0.05)
    assert statistics.pstdev(gaps) == pytest.approx(1 / 50, rel=0.1)
    assert times == list(islice(load.poisson(50, seed=1), 5000))


def test_arrivals_are_bounded_by_number_or_time() -> None:
    assert len(load.bounded(load.poisson(10, 1), 7, None)) == 7
    within = load.bounded(load.poisson(10, 1), 7, 20)
    assert len(within) == pytest.approx(200, rel=0.3)
    assert max(within) < 20
    assert len(load.bounded(load.poisson(0.001, 1), 7, 0.1)) == 1


@pytest.mark.parametrize(("streams", "asked", "requests"), [(1, None, 12), (8, None, 24), (8, 20, 24), (32, 1, 32)])
def test_requests_are_a_multiple_of_the_streams(streams: int, asked: int | None, requests: int) -> None:
    assert Level("concurrency", streams).requests(asked) == requests


@pytest.mark.parametrize(("asked", "requests"), [(None, 40), (40, 40), (41, 80)])
def test_requests_are_whole_conversations_for_every_stream(asked: int | None, requests: int) -> None:
    assert Level("concurrency", 8).requests(asked, turns=5) == requests


@pytest.mark.parametrize(("asked", "conversations"), [(None, 8), (0, 0), (1, 1), (6, 2)])
def test_warm_ups_are_whole_conversations(asked: int | None, conversations: int) -> None:
    assert Plan(warm_up=asked).warm_up_at(Level("concurrency", 8), turns=5) == conversations


def test_a_rate_has_ten_seconds_of_requests() -> None:
    assert (Level("rate", 4).requests(None), Level("rate", 0.5).requests(None)) == (40, 20)
    assert Level("rate", 4).requests(3) == 3


async def test_closed_loop_keeps_its_streams_busy() -> None:
    send = Played(0.005)
    shared = repeat(send, 20)
    samples = await load.closed_loop([shared] * 4)
    assert (len(samples), send.sent, send.most) == (20, 20, 4)


async def test_a_stream_waits_for_its_own_answers_only() -> None:
    quick, slow = Played(0.01), Played(0.1)
    await load.closed_loop([repeat(quick, 5), repeat(slow, 1)])
    assert (quick.sent, quick.most, slow.sent) == (5, 1, 1)


async def test_closed_loop_for_a_while() -> None:
    send, began = Played(0.02), perf_counter()
    samples = await load.closed_loop([repeat(send)] * 2, duration_s=0.2)
    assert len(samples) == send.sent > 4
    assert max(sample.started_s for sample in samples) < began + 0.2 + 0.02


async def test_open_loop_waits_for_nobody() -> None:
    send = Played(0.1)
    samples = await load.open_loop(repeat(send), [0.0, 0.01, 0.02, 0.03], max_in_flight=10)
    assert (len(samples), send.most) == (4, 4)
    assert max(sample.late_s for sample in samples) < 0.05


async def test_open_loop_that_is_full_is_late() -> None:
    send = Played(0.1)
    samples = await load.open_loop(repeat(send), [0.0, 0.0, 0.0], max_in_flight=1)
    assert send.most == 1
    assert [round(sample.late_s, 1) for sample in samples] == [0.0, 0.1, 0.2]


def test_the_body_of_a_request() -> None:
    work = Workload(seed=1, output_tokens=9, extra_body={"temperature": 1, "top_k": 2})
    assert work.body("m", HELLO) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 9,
        "temperature": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
        "top_k": 2,
    }
    plain = Workload(seed=1, api="completions", stream=False, ignore_eos=False).body("m", HELLO)
    assert plain == {"model": "m", "prompt": "hello", "max_tokens": 64, "temperature": 0, "stream": False}


def test_a_prompt_that_is_all_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="shared_prefix_tokens=60"):
        Workload(seed=1, prompt_tokens=64, shared_prefix_tokens=60)


def test_only_a_chat_has_turns() -> None:
    with pytest.raises(ValueError, match="turns=2: expected 1 with api=completions"):
        Workload(seed=1, api="completions", turns=2)
