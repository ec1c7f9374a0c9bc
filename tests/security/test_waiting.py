"""Requests with keys that wait for a place at a full model: a supervisor with the fake engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.security.guarded import Guarded, guarded
from tests.supervisor.samples import model_status
from tests.supervisor.servers import dead_replica, fake_engine, until
from tests.waiting import eventually
from xinfer.messages import KeyScope, Priority, ReplicaReport

QUEUE: dict[str, Any] = {"queue_depth": 8, "max_requests_per_replica": 2}


@asynccontextmanager
async def waiting_room(
    home: Path, *, takes_s: float = 0.1, **rules: Any
) -> AsyncIterator[tuple[Guarded, ReplicaReport]]:
    """A model with one engine, whose requests take ``takes_s``, and two places."""
    async with (
        fake_engine(first_token_s=takes_s, tokens=1) as engine,
        guarded(home, gateway={**QUEUE, **rules}) as found,
    ):
        await found.models.tell(model_status(engine))
        yield found, engine


def waits(found: Guarded, count: int) -> bool:
    return found.apps[0]._proxy._turns.waiting("m") == count


class Asking:
    """Requests under way, and the order in which they are answered."""

    def __init__(self, found: Guarded) -> None:
        self._found = found
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[httpx.Response]] = {}

    async def ask(self, name: str, key: str) -> None:
        """Send one; returns when it waits or has a place."""
        before = self._found.apps[0]._proxy._turns.waiting("m") + self._found.apps[0]._proxy.in_flight()
        self.tasks[name] = asyncio.create_task(self._ask(name, key))

        def has_come() -> bool:
            proxy = self._found.apps[0]._proxy
            return self.tasks[name].done() or proxy._turns.waiting("m") + proxy.in_flight() > before

        await eventually(has_come, 5, "the request at the supervisor")

    async def _ask(self, name: str, key: str) -> httpx.Response:
        answer = await self._found.chat(key)
        self.order.append(name)
        return answer

    async def statuses(self) -> dict[str, int]:
        return {name: (await task).status_code for name, task in self.tasks.items()}


async def test_a_flood_of_one_key_does_not_hold_up_another(tmp_path: Path) -> None:
    async with waiting_room(tmp_path) as (found, _):
        alice, bob, first = await found.key(), await found.key(), await found.key(priority=Priority.HIGH)
        asking = Asking(found)
        for number in range(7):
            await asking.ask(f"a{number}", alice)
        await asking.ask("b", bob)
        await asking.ask("h", first)
        assert set((await asking.statuses()).values()) == {200}
        assert set(asking.order[:2]) == {"a0", "a1"}
        assert set(asking.order[2:4]) == {"b", "h"}
        assert waits(found, 0)


async def test_who_waits_too_long_is_refused(tmp_path: Path) -> None:
    async with waiting_room(tmp_path, queue_timeout_s=0.2, max_requests_per_replica=1) as (found, engine):
        key = await found.key()
        asking = Asking(found)
        for number in range(6):
            await asking.ask(f"{number}", key)
        statuses = await asking.statuses()
        assert sorted(statuses.values()).count(429) >= 3
        refused = next(task.result() for task in asking.tasks.values() if task.result().status_code == 429)
        assert refused.json()["error"]["code"] == "model_overloaded"
        assert refused.headers["retry-after"] == "1"
        assert statuses["0"] == statuses["1"] == 200
        await until(engine, running=0)
        assert found.apps[0]._proxy.in_flight() == 0


async def test_the_greediest_is_refused_at_once_when_too_many_wait(tmp_path: Path) -> None:
    async with waiting_room(tmp_path, queue_depth=2) as (found, _):
        alice, bob = await found.key(), await found.key()
        asking = Asking(found)
        for number in range(4):
            await asking.ask(f"a{number}", alice)
        began = time.monotonic()
        answer = await found.chat(bob)
        assert answer.status_code == 200
        statuses = await asking.statuses()
        assert statuses == {"a0": 200, "a1": 200, "a2": 200, "a3": 429}
        assert asking.order[0] == "a3"
        admin = await found.key(KeyScope.ADMIN)
        rows = (await found.usage(admin)).values()
        assert sorted((row["requests"], row["refused"]) for row in rows) == [(1, 0), (3, 1)]
        assert time.monotonic() - began < 2


async def test_without_a_depth_nobody_waits(tmp_path: Path) -> None:
    async with waiting_room(tmp_path, takes_s=2, queue_depth=0) as (found, _):
        key = await found.key()
        asking = Asking(found)
        for number in range(3):
            await asking.ask(f"{number}", key)
        assert await asking.statuses() == {"0": 200, "1": 200, "2": 429}


async def test_a_new_replica_lets_those_in_who_wait(tmp_path: Path) -> None:
    async with (
        fake_engine(first_token_s=30, tokens=1) as engine,
        fake_engine(tokens=1) as second,
        guarded(tmp_path, gateway=QUEUE) as found,
    ):
        await found.models.tell(model_status(engine))
        key = await found.key()
        asking = Asking(found)
        for number in range(4):
            await asking.ask(f"{number}", key)
        await found.models.tell(model_status(engine, second))
        assert [(await asking.tasks[name]).status_code for name in "23"] == [200, 200]
        for task in asking.tasks.values():
            task.cancel()


async def test_who_waits_for_a_model_that_goes_is_told_so(tmp_path: Path) -> None:
    async with (
        fake_engine(first_token_s=2, tokens=1) as engine,
        guarded(tmp_path, gateway=QUEUE) as found,
    ):
        await found.models.tell(model_status(engine))
        key = await found.key()
        asking = Asking(found)
        for number in range(3):
            await asking.ask(f"{number}", key)
        await found.models.tell()
        assert (await asking.tasks["2"]).status_code == 404
        for task in asking.tasks.values():
            task.cancel()


async def test_a_lost_replica_sends_its_request_to_the_next_place(tmp_path: Path) -> None:
    async with waiting_room(tmp_path) as (found, engine):
        await found.models.tell(model_status(dead_replica(), engine))
        key = await found.key()
        answers = await asyncio.gather(*(found.chat(key) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert waits(found, 0)
        assert found.apps[0]._proxy.in_flight() == 0


@pytest.mark.parametrize("seed", range(2))
async def test_no_place_is_lost_however_requests_end(tmp_path: Path, seed: int) -> None:
    """Clients that leave while they wait, as their turn comes, and in the middle of their answer."""
    draw = Random(seed)
    async with waiting_room(tmp_path, queue_timeout_s=0.3) as (found, engine):
        keys = [await found.key(priority=priority) for priority in Priority]

        async def ask() -> None:
            await asyncio.sleep(draw.random() / 2)
            try:
                async with asyncio.timeout(draw.random() / 2):
                    await found.chat(draw.choice(keys))
            except TimeoutError:
                pass

        await asyncio.gather(*(ask() for _ in range(60)))
        await until(engine, running=0)
        await eventually(lambda: found.apps[0]._proxy.in_flight() == 0, 5, "the end of all requests")
        assert waits(found, 0)
        lines = found.apps[0]._proxy._turns._queues["m"].line._bands.values()
        assert {line.running for band in lines for line in band.lines.values()} == {0}
        assert (await found.chat(keys[0])).status_code == 200
