"""The guard against a side that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from supervisor.gateway.relay import StallGuard

LONG_S, SHORT_S = 60.0, 0.1


async def stand_still(guard: StallGuard, turn: Callable[[], None] | None = None, after_s: float = 0) -> None:
    """Wait for good inside of ``guard``, on whose turn it is ``after_s`` seconds from now."""
    async with guard:
        await asyncio.sleep(after_s)
        if turn:
            turn()
        await asyncio.Event().wait()


async def test_engine_that_stands_still() -> None:
    guard = StallGuard(SHORT_S, LONG_S)
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await stand_still(guard)
    assert not guard.client_is_due


async def test_client_that_stands_still() -> None:
    guard = StallGuard(LONG_S, SHORT_S)
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await stand_still(guard, guard.client)
    assert guard.client_is_due


@pytest.mark.parametrize("engine_s", [SHORT_S, LONG_S])
async def test_each_side_has_a_limit_of_its_own(engine_s: float) -> None:
    """The side with the long limit may take longer than the other's."""
    client_s = LONG_S if engine_s == SHORT_S else SHORT_S
    async with StallGuard(engine_s, client_s) as guard:
        if client_s == LONG_S:
            guard.client()
        await asyncio.sleep(2 * SHORT_S)


async def test_limit_is_for_each_turn_and_not_for_all() -> None:
    async with StallGuard(0.6, 0.6) as guard:
        for _ in range(5):
            guard.client()
            await asyncio.sleep(0.1)
            guard.engine()
            await asyncio.sleep(0.1)


async def test_turn_that_began_late_has_its_full_time() -> None:
    guard, loop = StallGuard(0.3, LONG_S), asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        await stand_still(guard, guard.engine, after_s=0.2)
    assert 0.5 <= loop.time() - began < 3


async def test_short_turn_after_a_long_one_is_noticed_in_time() -> None:
    """Although its limit is much shorter than that of the turn before."""
    guard = StallGuard(LONG_S, SHORT_S)
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await stand_still(guard, guard.client, after_s=2 * SHORT_S)
    assert guard.client_is_due


async def test_other_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError):
        async with StallGuard(LONG_S, LONG_S):
            raise ZeroDivisionError


async def test_cancellation_from_outside_passes_through() -> None:
    entered = asyncio.Event()
    guard = StallGuard(LONG_S, LONG_S)
    task = asyncio.create_task(stand_still(guard, entered.set))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nothing_happens_after_the_block(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is cancelled, and asyncio has no error in a callback to report."""
    async with StallGuard(SHORT_S, SHORT_S):
        pass
    await asyncio.sleep(3 * SHORT_S)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert caplog.records == []
