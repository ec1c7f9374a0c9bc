"""More requests than there is room for, and no place lost, however a request ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.supervisor.completions import CHAT, Gateway, chat, events, raw_client
from tests.supervisor.engines import Flood
from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import (
    RegistryDouble,
    dead_replica,
    fake_engine,
    fake_engine_process,
    serving,
    state_of,
    until,
)
from tests.waiting import eventually
from xinfer.messages import ReplicaReport
from xinfer.settings import Routing


async def room_for(http: httpx.AsyncClient, replica: ReplicaReport) -> int:
    """How many requests get to the engine before one is refused."""
    asking: list[asyncio.Task[httpx.Response]] = []
    try:
        while True:
            asking.append(asyncio.create_task(http.post(CHAT, json=chat())))
            running = asyncio.create_task(until(replica, running=len(asking)))
            await asyncio.wait({running, asking[-1]}, return_when=asyncio.FIRST_COMPLETED)
            if asking[-1].done():
                running.cancel()
                assert asking[-1].result().status_code == 429
                return len(asking) - 1
            await running
    finally:
        for each in asking:
            each.cancel()


async def test_overload_is_refused_with_a_time_to_come_back(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(max_requests_per_replica=2)
    async with fake_engine(first_token_s=2, tokens=1) as one, fake_engine(first_token_s=2, tokens=1) as two:
        await registry.tell_replicas(one, two)
        running = [asyncio.create_task(http.post(CHAT, json=chat())) for _ in range(4)]
        await until(one, running=2)
        await until(two, running=2)
        refused = await http.post(CHAT, json=chat())
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "model_overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["x-should-retry"] == "true"
        assert [(await each).status_code for each in running] == [200] * 4
        assert (await http.post(CHAT, json=chat())).status_code == 200


async def test_refusal_is_quick_and_other_models_go_on(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(max_requests_per_replica=1)
    loop = asyncio.get_running_loop()
    async with fake_engine(first_token_s=60) as full, fake_engine("n", tokens=50, gap_s=0.02) as free:
        await registry.tell(model_status(full), model_status(free, uid="n"))
        stuck = asyncio.create_task(http.post(CHAT, json=chat()))
        await until(full, running=1)
        other = asyncio.create_task(http.post(CHAT, json=chat(model="n", stream=True)))
        await until(free, running=1)
        took = []
        for _ in range(5):
            began = loop.time()
            assert (await http.post(CHAT, json=chat())).status_code == 429
            took.append(loop.time() - began)
        assert sorted(took)[2] < 0.1, took
        assert not other.done()
        assert events((await other).text)[-1] == "[DONE]"
        stuck.cancel()


@pytest.mark.parametrize(
    ("settings", "facts", "room"),
    [
        ({"max_requests_per_replica": 2}, {}, 2),
        ({"max_requests_per_replica": 2}, {"request_limits": 3}, 3),
        ({"max_requests_per_replica": 2}, {"request_limits": 1}, 1),
        ({"max_requests_per_replica": 2, "supervisors": 2}, {}, 1),
        ({"max_requests_per_replica": 3, "supervisors": 2}, {}, 2),
        ({"supervisors": 2}, {"request_limits": 4}, 2),
        ({"supervisors": 4}, {"request_limits": 1}, 1),
    ],
    ids=str,
)
async def test_launch_s_limit_wins_and_supervisors_share_it(
    gateway: Gateway, registry: RegistryDouble, settings: dict[str, Any], facts: dict[str, Any], room: int
) -> None:
    http = await gateway(**settings)
    async with fake_engine(first_token_s=60) as replica:
        await registry.tell_replicas(replica, **facts)
        assert await room_for(http, replica) == room


async def test_limit_is_for_each_replica(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway()
    async with fake_engine(first_token_s=1, tokens=1) as one, fake_engine(first_token_s=1, tokens=1) as two:
        await registry.tell_replicas(one, two, request_limits=2)
        statuses = [each.status_code for each in await asyncio.gather(*(http.post(CHAT, json=chat()) for _ in "12345"))]
        assert sorted(statuses) == [200, 200, 200, 200, 429]
        assert [(await state_of(each))["served"] for each in (one, two)] == [2, 2]


async def test_no_place_is_lost_when_clients_leave_or_engines_stand_still(
    gateway: Gateway, registry: RegistryDouble
) -> None:
    """With one place, each of these would leave none for the next."""
    http = await gateway(max_requests_per_replica=1, idle_timeout_s=0.5, first_byte_timeout_s=0.5)
    async with fake_engine(tokens=3, gap_s=0.01) as replica:
        await registry.tell_replicas(replica)
        for content in ("hello", "!error", "!hang"):
            with pytest.raises(httpx.ReadTimeout):
                await http.post(CHAT, json=chat("!hang"), timeout=0.1)
            await until(replica, running=0)
            assert (await http.post(CHAT, json=chat(content, stream=True))).status_code != 429
            await until(replica, running=0)
        assert (await http.post(CHAT, json={**chat(), "messages": []})).status_code == 400
        assert (await http.post(CHAT, json=chat())).status_code == 200


async def test_no_place_is_lost_when_engines_are_not_there_or_die(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(max_requests_per_replica=1)
    async with (
        fake_engine_process(fault="exit", fault_after=1, gap_s=0.01) as bad,
        fake_engine(tokens=1) as good,
    ):
        await registry.tell_replicas(bad)
        assert "engine_lost" in (await http.post(CHAT, json=chat(stream=True))).text
        await registry.tell_replicas(bad, dead_replica(), good)
        assert [(await http.post(CHAT, json=chat())).status_code for _ in range(4)] == [200] * 4


async def test_no_place_is_lost_when_a_client_stops_reading(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(max_requests_per_replica=1, write_timeout_s=0.3)
    engine = Flood()
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        async with raw_client(http, json.dumps(chat(stream=True)).encode()):
            await eventually(lambda: engine.sent_bytes)
            assert (await http.post(CHAT, json=chat())).status_code == 429
            await eventually(lambda: engine.aborted == 1, deadline_s=5)
            async with http.stream("POST", CHAT, json=chat(stream=True)) as answer:
                assert answer.status_code == 200


@pytest.mark.parametrize(
    ("routing", "spread"), [(Routing.PREFIX, [5, 1]), (Routing.LEAST_BUSY, [3, 3]), (Routing.ROUND_ROBIN, [3, 3])]
)
async def test_routing_is_as_it_was_set(
    gateway: Gateway, registry: RegistryDouble, routing: Routing, spread: list[int]
) -> None:
    """A conversation goes back to where it was; by its side there is a request about something else."""
    http = await gateway(routing=routing)
    story = "Once upon a time there was a whale. " * 20
    async with fake_engine(tokens=1) as one, fake_engine(tokens=1) as two:
        await registry.tell_replicas(one, two)
        for content in (story, "hello", *(story + "And then? " * n for n in range(4))):
            assert (await http.post(CHAT, json=chat(content))).status_code == 200
        assert [(await state_of(each))["served"] for each in (one, two)] == spread


async def test_a_replica_that_is_slow_to_its_first_token_gets_less(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    async with fake_engine(tokens=1, first_token_s=0.8) as slow, fake_engine(tokens=1) as fast:
        await registry.tell_replicas(slow, fast)
        for number in range(12):
            assert (await http.post(CHAT, json=chat(f"{number}", stream=True))).status_code == 200
        assert (await state_of(slow))["served"] == 1
        assert (await state_of(fast))["served"] == 11
