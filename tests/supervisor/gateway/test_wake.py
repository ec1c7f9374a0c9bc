"""Requests for a model that sleeps: they wake it once, wait for it, and are told when it cannot come."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.supervisor.completions import CHAT, Gateway, chat, events, raw_client
from tests.supervisor.samples import model_status
from tests.supervisor.servers import RegistryDouble, dead_replica, fake_engine, state_of
from tests.waiting import eventually
from xinfer.messages import ModelState, ModelStatus, ReplicaReport, Usage


def asleep(**facts: Any) -> ModelStatus:
    return model_status(state=ModelState.SLEEPING, idle_timeout_s=60.0, **facts)


def waking(*replicas: ReplicaReport, **facts: Any) -> ModelStatus:
    return replace(model_status(*replicas, state=ModelState.LAUNCHING, idle_timeout_s=60.0, **facts), waking=True)


def asking(http: httpx.AsyncClient, count: int = 1, **fields: Any) -> list[asyncio.Task[httpx.Response]]:
    return [asyncio.create_task(http.post(CHAT, json=chat(**fields))) for _ in range(count)]


async def test_many_requests_wake_it_once_and_all_are_answered(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    await registry.tell(asleep())
    requests = asking(http, 50)
    await eventually(lambda: registry.asked)
    await registry.tell(waking())
    requests += asking(http, 50)
    await asyncio.sleep(0.2)
    assert not any(each.done() for each in requests)
    async with fake_engine(tokens=1) as replica:
        await registry.tell_replicas(replica, idle_timeout_s=60.0)
        assert [(await each).status_code for each in requests] == [200] * 100
        assert (await state_of(replica))["served"] == 100
    assert registry.asked == [("wake", "m")]


async def test_stream_of_a_woken_model(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell(asleep())
    (request,) = asking(http, stream=True)
    await eventually(lambda: registry.asked)
    async with fake_engine(tokens=3) as replica:
        await registry.tell_replicas(replica)
        assert events((await request).text)[-1] == "[DONE]"


@pytest.mark.parametrize("body", [chat(enable_thinking="x"), {**chat(), "messages": []}], ids=["field", "no message"])
async def test_bad_request_wakes_nobody(
    http: httpx.AsyncClient, registry: RegistryDouble, body: dict[str, Any]
) -> None:
    await registry.tell(asleep())
    assert (await http.post(CHAT, json=body)).status_code == 400
    assert registry.asked == []


async def test_no_longer_than_the_limit(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(wake_timeout_s=0.3)
    await registry.tell(waking(reason="out of memory, trying again"))
    began = time.monotonic()
    answer = await http.post(CHAT, json=chat())
    assert 0.25 < time.monotonic() - began < 2
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_loading")
    assert "out of memory, trying again" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("settings", "facts", "room"),
    [
        ({"max_requests_per_replica": 3}, {}, 3),
        ({"max_requests_per_replica": 3}, {"request_limits": 2}, 2),
        ({"max_requests_per_replica": 3, "supervisors": 3}, {}, 1),
        ({"max_requests_per_replica": 2}, {"replicas": 2}, 4),
    ],
    ids=str,
)
async def test_surplus_is_refused_at_once(
    gateway: Gateway, registry: RegistryDouble, settings: dict[str, Any], facts: dict[str, Any], room: int
) -> None:
    http = await gateway(**settings)
    await registry.tell(asleep(**facts))
    waiting = asking(http, room)
    await eventually(lambda: registry.asked)
    await asyncio.sleep(0.1)
    answer = await http.post(CHAT, json=chat())
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "model_overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    async with fake_engine(tokens=1) as one, fake_engine(tokens=1) as two:
        await registry.tell_replicas(*(one, two)[: facts.get("replicas", 1)], **facts)
        assert [(await each).status_code for each in waiting] == [200] * room


async def test_all_wait_until_there_is_room_for_all(gateway: Gateway, registry: RegistryDouble) -> None:
    """The first of two replicas takes half of them only."""
    http = await gateway(max_requests_per_replica=2)
    await registry.tell(asleep(replicas=2))
    waiting = asking(http, 4)
    await eventually(lambda: registry.asked)
    async with fake_engine(tokens=1) as one, fake_engine(tokens=1) as two:
        await registry.tell_replicas(one, replicas=2)
        await asyncio.sleep(0.2)
        assert not any(each.done() for each in waiting)
        await registry.tell_replicas(one, two, replicas=2)
        assert [(await each).status_code for each in waiting] == [200] * 4


async def test_clients_that_leave_wait_no_more(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(max_requests_per_replica=1)
    await registry.tell(asleep())
    for _ in range(3):
        async with raw_client(http, b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'):
            await asyncio.sleep(0.1)
            assert (await http.post(CHAT, json=chat())).status_code == 429
        await asyncio.sleep(0.1)
    (request,) = asking(http)
    await asyncio.sleep(0.1)
    async with fake_engine(tokens=1) as replica:
        await registry.tell_replicas(replica)
        assert (await request).status_code == 200


async def test_without_room_the_sentence_says_so(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    registry.answers["wake"] = "2 GPUs are asked for; 1 of them free."
    await registry.tell(asleep())
    for answer in [await each for each in asking(http, 5)]:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert "2 GPUs are asked for; 1 of them free." in answer.json()["detail"]
        assert int(answer.headers["retry-after"]) >= 1
    registry.answers.clear()
    (request,) = asking(http)
    await asyncio.sleep(0.1)
    async with fake_engine(tokens=1) as replica:
        await registry.tell_replicas(replica)
        assert (await request).status_code == 200


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ([model_status(state=ModelState.FAILED, reason="the disk is on fire")], "the disk is on fire"),
        ([model_status(state=ModelState.TERMINATING)], "terminated"),
        ([], "terminated"),
    ],
    ids=["failed", "terminating", "gone"],
)
async def test_wake_that_comes_to_nothing(
    http: httpx.AsyncClient, registry: RegistryDouble, outcome: list[ModelStatus], words: str
) -> None:
    await registry.tell(asleep())
    requests = asking(http, 3)
    await eventually(lambda: registry.asked)
    await registry.tell(waking())
    await registry.tell(*outcome)
    for answer in [await each for each in requests]:
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "launch_failed")
        assert words in answer.json()["detail"]
        assert answer.headers["x-should-retry"] == "false"


async def test_registry_that_is_away_is_asked_again(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell(asleep())
    registry.away = True
    (request,) = asking(http)
    await asyncio.sleep(0.2)
    registry.away = False
    await eventually(lambda: registry.asked)
    async with fake_engine(tokens=1) as replica:
        await registry.tell_replicas(replica)
        assert (await request).status_code == 200


async def test_woken_replica_that_is_not_there(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell(asleep())
    (request,) = asking(http)
    await eventually(lambda: registry.asked)
    await registry.tell_replicas(dead_replica())
    assert (await request).status_code == 503


async def test_use_is_told_with_every_watch(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    """Each supervisor has a name of its own; models without an idle timeout are left out."""
    async with fake_engine(tokens=1, first_token_s=0.2) as replica:
        kept = model_status(replica, idle_timeout_s=60.0)
        await registry.tell(kept, model_status(uid="other"))
        assert registry.told[-1][1] == {"m": Usage()}
        (request,) = asking(http)
        await asyncio.sleep(0.1)
        await registry.tell(kept, model_status(uid="other"))
        assert registry.told[-1][1]["m"].in_flight == 1
        assert (await request).status_code == 200
        await registry.tell(kept)
        told = registry.told[-1][1]["m"]
    assert told.in_flight == 0
    assert 0 <= told.idle_s < 5
    assert len({name for name, _ in registry.told}) == 1
