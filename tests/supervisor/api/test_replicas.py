"""Adding replicas to a model: what is asked of the registry, when the answer comes, and what it says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from supervisor.api.replicas import with_followers
from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import RegistryDouble
from tests.waiting import eventually
from xinfer.messages import FollowerReport, ModelState, ModelStatus, ReplicaStage

FIRST = report("r1", node="10.0.0.1")
SECOND = report("r2", node="10.0.0.2")
THIRD = report("r3", node="10.0.0.3")
LOADING = report("r2", ReplicaStage.LOADING, node="10.0.0.2")
PATH = "/v1/models/m/replicas"


def model(*replicas: Any, **facts: Any) -> ModelStatus:
    return model_status(*replicas, created_at=1.0, gpus=0.5, **facts)


@pytest.fixture(autouse=True)
async def one(registry: RegistryDouble, http: httpx.AsyncClient) -> None:
    """The model ``m`` with one replica."""
    await registry.tell(model(FIRST))


async def asked(registry: RegistryDouble, http: httpx.AsyncClient, **body: Any) -> asyncio.Task[httpx.Response]:
    """A request for more, at the moment when the registry has been asked."""
    task = asyncio.create_task(http.post(PATH, json=body))
    await eventually(lambda: registry.asked)
    return task


async def test_answers_when_it_is_ready(registry: RegistryDouble, http: httpx.AsyncClient) -> None:
    adding = await asked(registry, http, replica=1)
    assert registry.asked == [("scale", "m", 2)]
    await registry.tell(model(FIRST, replicas=2))
    await registry.tell(model(FIRST, LOADING, replicas=2))
    assert not adding.done()
    await registry.tell(model(FIRST, SECOND, replicas=2))
    answer = await adding
    told = {"replica_id": 1, "replica_model_uid": "m-rep1", "worker_address": "10.0.0.2"}
    assert (answer.status_code, answer.json()) == (200, told)


async def test_answers_when_every_supervisor_knows(registry: RegistryDouble, http: httpx.AsyncClient) -> None:
    adding = await asked(registry, http, replica=1)
    registry.reached.clear()
    await registry.tell(model(FIRST, SECOND, replicas=2))
    await asyncio.sleep(0.05)
    assert not adding.done()
    registry.reached.set()
    assert (await adding).status_code == 200


async def test_several(registry: RegistryDouble, http: httpx.AsyncClient) -> None:
    adding = await asked(registry, http, replica=2)
    assert registry.asked == [("scale", "m", 3)]
    await registry.tell(model(FIRST, SECOND, replicas=3))
    assert not adding.done()
    await registry.tell(model(FIRST, SECOND, THIRD, replicas=3))
    told = (await adding).json()
    assert told["replica"] == 2
    assert [each["replica_id"] for each in told["replicas"]] == [1, 2]
    assert [each["worker_address"] for each in told["replicas"]] == ["10.0.0.2", "10.0.0.3"]


async def test_replica_that_is_replaced_meanwhile_is_waited_for_too(
    registry: RegistryDouble, http: httpx.AsyncClient
) -> None:
    adding = await asked(registry, http)
    await registry.tell(model(THIRD, LOADING, replicas=2))
    assert not adding.done()
    await registry.tell(model(THIRD, SECOND, replicas=2))
    assert (await adding).status_code == 200


async def test_need_not_wait(registry: RegistryDouble, http: httpx.AsyncClient) -> None:
    adding = asyncio.create_task(http.post(PATH, json={"replica": 2}, params={"wait_ready": "false"}))
    await eventually(lambda: registry.asked)
    await registry.tell(model(FIRST, LOADING, replicas=3))
    told = (await adding).json()["replicas"]
    assert [(each["replica_id"], each["worker_address"]) for each in told] == [(1, "10.0.0.2"), (2, None)]


FAILED = replace(LOADING, stage=ReplicaStage.FAILED, info="no room")


@pytest.mark.parametrize(
    ("then", "words"),
    [
        (model(FIRST, ended=FAILED, reason="It stays at 1 replicas: no room"), "no room"),
        (model(state=ModelState.LAUNCHING, replicas=2), "did not come up"),
        (model(state=ModelState.TERMINATING, replicas=2), "did not come up"),
        (model(state=ModelState.FAILED, reason="on fire", replicas=2), "on fire"),
        (model_status(FIRST, created_at=2.0), "terminated"),
        (None, "terminated"),
    ],
)
@pytest.mark.parametrize("noted", [True, False])
async def test_it_does_not_come_up(
    registry: RegistryDouble, http: httpx.AsyncClient, then: ModelStatus | None, words: str, noted: bool
) -> None:
    """Also if the failure is the first that the supervisor hears of it."""
    adding = await asked(registry, http)
    if noted:
        await registry.tell(model(FIRST, LOADING, replicas=2))
    await registry.tell(*[each for each in [then] if each])
    answer = await adding
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "launch_failed")
    assert words in answer.json()["detail"]


async def test_two_callers_at_once_get_one_each(registry: RegistryDouble, http: httpx.AsyncClient) -> None:
    one, two = (asyncio.create_task(http.post(PATH, json={})) for _ in range(2))
    await eventually(lambda: registry.asked)
    await registry.tell(model(FIRST, replicas=2))
    await eventually(lambda: len(registry.asked) == 2)
    assert registry.asked == [("scale", "m", 2), ("scale", "m", 3)]
    await registry.tell(model(FIRST, SECOND, THIRD, replicas=3))
    assert [answer.status_code for answer in await asyncio.gather(one, two)] == [200, 200]


@pytest.mark.parametrize(
    "body",
    [
        {"replica": 1, "replica_config": None, "model_engine": None, "n_gpu": None},
        {"model_engine": "vLLM", "n_gpu": "auto"},
        {"n_gpu": 0.5, "replica_config": []},
        {"n_gpu": "0.5"},
    ],
)
async def test_bodies_that_xinference_s_client_sends(
    registry: RegistryDouble, http: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    adding = await asked(registry, http, **body)
    await registry.tell(model(FIRST, SECOND, replicas=2))
    assert (await adding).status_code == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"replica": 0}, "replica"),
        ({"replica": 10**6}, "replica"),
        ({"replica": "two"}, "replica"),
        ({"replica_config": [{"role": "x"}]}, "replica_config"),
        ({"model_engine": "SGLang"}, "model_engine"),
        ({"n_gpu": 1}, "n_gpu"),
        ({"n_gpu": "none"}, "n_gpu"),
    ],
)
async def test_replicas_unlike_the_others_are_refused(
    registry: RegistryDouble, http: httpx.AsyncClient, body: dict[str, Any], param: str
) -> None:
    answer = await http.post(PATH, json=body)
    assert (answer.status_code, answer.json()["error"]["param"], registry.asked) == (400, param, [])


async def test_no_such_model(registry: RegistryDouble, http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/models/ghost/replicas", json={})).status_code == 404
    assert registry.asked == []


async def test_one_less(registry: RegistryDouble, http: httpx.AsyncClient) -> None:
    """The answer comes when it is gone, whichever it is."""
    await registry.tell(model(FIRST, SECOND, replicas=2))
    removing = asyncio.create_task(http.delete(f"{PATH}/1"))
    await eventually(lambda: registry.asked)
    assert registry.asked == [("scale", "m", 1)]
    await registry.tell(model(FIRST, SECOND))
    assert not removing.done()
    await registry.tell(model(SECOND))
    answer = await removing
    assert (answer.status_code, answer.json()) == (200, {"remaining_replicas": 1})


async def test_the_last_one_takes_the_model_along(registry: RegistryDouble, http: httpx.AsyncClient) -> None:
    removing = asyncio.create_task(http.delete(f"{PATH}/0"))
    await eventually(lambda: registry.asked)
    assert registry.asked == [("terminate", "m")]
    await registry.tell(model(FIRST, state=ModelState.TERMINATING))
    await registry.tell()
    assert (await removing).json() == {"remaining_replicas": 0}


async def test_two_who_take_one_each_take_two(registry: RegistryDouble, http: httpx.AsyncClient) -> None:
    await registry.tell(model(FIRST, SECOND, THIRD, replicas=3))
    removing = [asyncio.create_task(http.delete(f"{PATH}/2")), asyncio.create_task(http.delete(f"{PATH}/1"))]
    await eventually(lambda: registry.asked)
    await registry.tell(model(FIRST, SECOND, replicas=2))
    await eventually(lambda: len(registry.asked) == 2)
    assert registry.asked == [("scale", "m", 2), ("scale", "m", 1)]
    await registry.tell(model(FIRST))
    assert sorted(each.json()["remaining_replicas"] for each in await asyncio.gather(*removing)) == [1, 2]


@pytest.mark.parametrize("number", ["1", "99", "-1", "first"])
async def test_no_such_replica(registry: RegistryDouble, http: httpx.AsyncClient, number: str) -> None:
    assert (await http.delete(f"{PATH}/{number}")).status_code == 404
    assert registry.asked == []


@pytest.mark.parametrize("state", [ModelState.LAUNCHING, ModelState.SLEEPING])
async def test_nothing_is_taken_from_what_is_not_up(
    registry: RegistryDouble, http: httpx.AsyncClient, state: ModelState
) -> None:
    await registry.tell(model(state=state))
    assert (await http.delete(f"{PATH}/0")).status_code == 409
    assert registry.asked == []


@pytest.mark.parametrize("lines", ["0", "-1", "10001", "many", "", "1.5", "9" * 40, "\u0661"])
async def test_log_of_so_many_lines_there_is_not(registry: RegistryDouble, http: httpx.AsyncClient, lines: str) -> None:
    answer = await http.get("/v1/models/m/log", params={"lines": lines})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "lines")


def test_every_worker_of_a_replica_has_a_log() -> None:
    follower = FollowerReport(1, "b", log="/logs/m-1-worker1.log")
    one = report("1", node="a", log="/logs/m-1.log", followers=(follower,))
    found = with_followers([one, report("2", node="c", log="/logs/m-2.log")])
    assert [(each.replica, each.node, each.log) for each in found] == [
        ("1", "a", "/logs/m-1.log"),
        ("1-worker1", "b", "/logs/m-1-worker1.log"),
        ("2", "c", "/logs/m-2.log"),
    ]
