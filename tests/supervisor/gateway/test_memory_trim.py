"""When memory is given back."""

from __future__ import annotations

import asyncio

import pytest

from supervisor.gateway.memory_trim import MemoryTrimmer
from tests.waiting import eventually


def trims(*in_flight: int) -> list[int]:
    """At which of these looks the trimmer trims, each finding so many requests in flight."""
    found: list[int] = []
    look = 0
    trimmer = MemoryTrimmer(lambda: in_flight[look], trim=lambda: found.append(look))
    while look < len(in_flight):
        trimmer.look()
        look += 1
    return found


def test_rush_that_is_over_is_followed_by_one_trim() -> None:
    assert trims(0, 100, 1000, 30, 0, 0, 0) == [3]


def test_each_rush_has_its_own() -> None:
    assert trims(1000, 0, 0, 1000, 1000, 0, 0) == [1, 5]


def test_rush_that_ends_in_steps_is_trimmed_step_by_step() -> None:
    assert trims(1000, 499, 400, 249, 120, 59, 0) == [1, 3, 4, 5]


@pytest.mark.parametrize("few", [1, 63])
def test_few_requests_are_not_worth_it(few: int) -> None:
    assert trims(few, 0, few, 0) == []


def test_sixty_four_are() -> None:
    assert trims(64, 0) == [1]


def test_no_trim_while_busy() -> None:
    assert trims(1000, 900, 500, 1000, 501) == []


async def test_it_looks_by_itself_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def in_flight() -> int:
        nonlocal looked
        looked += 1
        return 0

    monkeypatch.setattr("supervisor.gateway.memory_trim._PERIOD_S", 0.01)
    trimmer = MemoryTrimmer(in_flight, trim=lambda: None)
    trimmer.start()
    await eventually(lambda: looked > 2)
    await trimmer.stop()
    seen = looked
    await asyncio.sleep(0.05)
    assert looked == seen


def test_system_s_own_trim_can_be_called() -> None:
    requests = iter([64, 0])
    MemoryTrimmer(lambda: next(requests)).look()
