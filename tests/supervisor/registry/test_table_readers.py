from __future__ import annotations

import asyncio

import pytest

from supervisor.registry import table_readers
from supervisor.registry.table_readers import TableReaders


async def test_waits_for_the_slowest() -> None:
    readers = TableReaders()
    await readers.hear("a", 7)
    await readers.hear("b", 5)
    await asyncio.wait_for(readers.reach_all(5), 0.5)
    reaching = asyncio.create_task(readers.reach_all(6))
    await asyncio.sleep(0.01)
    assert not reaching.done()
    await readers.hear("b", 6)
    await asyncio.wait_for(reaching, 0.5)


async def test_does_not_wait_for_one_that_is_gone() -> None:
    seconds = 0.0
    readers = TableReaders(now=lambda: seconds)
    await readers.hear("gone", 1)
    seconds = 5.0
    await readers.hear("there", 9)
    seconds = 6.1
    await asyncio.wait_for(readers.reach_all(9), 0.5)


async def test_does_not_wait_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_readers, "_REACH_ALL_S", 0.05)
    readers = TableReaders()
    await readers.hear("hangs", 0)
    await asyncio.wait_for(readers.reach_all(1), 0.5)
