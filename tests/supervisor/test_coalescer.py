"""How long chunks wait for each other."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from supervisor.coalescer import Coalescer

WINDOW_S = 0.001


@pytest.fixture
def holds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the loop was held back, each time."""
    found: list[float] = []
    monkeypatch.setattr("supervisor.coalescer.time", SimpleNamespace(sleep=found.append))
    return found


async def forward(coalescer: Coalescer, streams: int, chunks: int, rounds: int = 1) -> None:
    """So many streams are open, and ``rounds`` times so many of their chunks go out before the loop gets its turn."""
    with ExitStack() as stack:
        for _ in range(streams):
            stack.enter_context(coalescer)
        for _ in range(rounds):
            for _ in range(chunks):
                coalescer.forwarded()
            await asyncio.sleep(0)


async def test_chunks_of_many_streams_wait_once(holds: list[float]) -> None:
    await forward(Coalescer(WINDOW_S), streams=8, chunks=5)
    assert holds == [WINDOW_S]


async def test_each_round_waits_anew(holds: list[float]) -> None:
    await forward(Coalescer(WINDOW_S), streams=100, chunks=1, rounds=3)
    assert holds == [WINDOW_S] * 3


async def test_nothing_waits_for_nothing(holds: list[float]) -> None:
    await forward(Coalescer(WINDOW_S), streams=100, chunks=0, rounds=3)
    assert holds == []


@pytest.mark.parametrize("streams", [1, 7])
async def test_few_streams_do_not_wait(holds: list[float], streams: int) -> None:
    await forward(Coalescer(WINDOW_S), streams, chunks=1, rounds=3)
    assert holds == []


async def test_many_chunks_at_once_do_not_wait_for_more(holds: list[float]) -> None:
    coalescer = Coalescer(WINDOW_S)
    await forward(coalescer, streams=100, chunks=32)
    assert holds == []
    await forward(coalescer, streams=100, chunks=31)
    assert holds == [WINDOW_S]


async def test_streams_that_have_ended_do_not_count(holds: list[float]) -> None:
    coalescer = Coalescer(WINDOW_S)
    for _ in range(3):
        await forward(coalescer, streams=7, chunks=1)
    assert holds == []


async def test_no_window_is_no_wait(holds: list[float]) -> None:
    await forward(Coalescer(0), streams=100, chunks=1, rounds=3)
    assert holds == []
