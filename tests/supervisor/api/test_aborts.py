"""Requests given up by their id, through a supervisor and the engines' middleware."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from supervisor.api.aborts import _LONGEST_BLOCK_S
from tests.supervisor.completions import CHAT, COMPLETIONS, chat, events, text
from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import RegistryDouble, dead_replica, fake_engine, until
from xinfer.messages import ReplicaStage

SLOW = {"gap_s": 0.01, "tokens": 10_000}


async def abort(http: httpx.AsyncClient, request_id: str = "mine", body: Any = None) -> Any:
    reply = await http.post(f"/v1/models/m/requests/{request_id}/abort", json=body or {"block_duration": 0})
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_stream_ends_and_so_does_the_work(http: httpx.AsyncClient, registry: RegistryDouble, path: str) -> None:
    body = (chat if path == CHAT else text)(stream=True, request_id="mine")
    async with fake_engine(**SLOW) as engine, fake_engine(**SLOW) as other:
        await registry.tell_replicas(engine, other)
        async with http.stream("POST", path, json=body) as reply:
            pieces = reply.aiter_text()
            # Aborted before its first token, it would have a status of its own.
            text_so_far = await anext(pieces)
            assert await abort(http) == {"msg": "DONE"}
            text_so_far += "".join([piece async for piece in pieces])
        told = [event for event in events(text_so_far) if event != "[DONE]"]
        assert (reply.status_code, told[-1]["choices"][0]["finish_reason"]) == (200, "abort")
        assert text_so_far.endswith("data: [DONE]\n\n") == (path == CHAT)
        assert await abort(http) == {"msg": "NOT_FOUND"}
        for replica in (engine, other):
            await until(replica, running=0, served=0)


async def test_id_with_odd_characters(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine(**SLOW) as engine:
        await registry.tell_replicas(engine)
        asking = asyncio.create_task(http.post(CHAT, json=chat(request_id="a/b 鯨")))
        await until(engine, running=1)
        assert await abort(http, quote("a/b 鯨", safe="")) == {"msg": "DONE"}
        assert (await asking).status_code == 499


async def test_whole_answer_becomes_an_error(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine(**SLOW) as engine:
        await registry.tell_replicas(engine)
        asking = asyncio.create_task(http.post(CHAT, json=chat(request_id="mine")))
        await until(engine, running=1)
        assert await abort(http) == {"msg": "DONE"}
        reply = await asking
        assert (reply.status_code, reply.json()["error"]["code"]) == (499, "request_aborted")
        assert reply.headers["x-should-retry"] == "false"
        await until(engine, running=0, aborted=1)


async def test_blocked_id_is_refused_at_every_replica(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine(tokens=1) as engine, fake_engine(tokens=1) as other:
        await registry.tell_replicas(engine, other)
        assert await abort(http, body={"block_duration": 60}) == {"msg": "NOT_FOUND"}
        blocked = [await http.post(CHAT, json=chat(request_id="mine")) for _ in range(4)]
        assert {reply.status_code for reply in blocked} == {499}
        assert (await http.post(CHAT, json=chat(request_id="yours"))).status_code == 200


async def test_replica_that_is_gone_has_nothing_to_abort(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine(**SLOW) as engine:
        await registry.tell_replicas(dead_replica(), engine)
        assert await abort(http) == {"msg": "NOT_FOUND"}


async def test_model_on_its_way_up_has_no_requests(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell(model_status(report(stage=ReplicaStage.LOADING)))
    assert await abort(http) == {"msg": "NOT_FOUND"}


async def test_unknown_model(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell()
    assert (await http.post("/v1/models/m/requests/mine/abort", json={})).status_code == 404


@pytest.mark.parametrize("junk", [-1, "30", True, [], _LONGEST_BLOCK_S + 1])
async def test_junk_is_refused(http: httpx.AsyncClient, registry: RegistryDouble, junk: Any) -> None:
    await registry.tell_replicas()
    reply = await http.post("/v1/models/m/requests/mine/abort", content=json.dumps({"block_duration": junk}))
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "block_duration")


async def test_no_body_is_the_usual_time(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine(tokens=1) as engine:
        await registry.tell_replicas(engine)
        assert (await http.post("/v1/models/m/requests/mine/abort")).json() == {"msg": "NOT_FOUND"}
        assert (await http.post(CHAT, json=chat(request_id="mine"))).status_code == 499
