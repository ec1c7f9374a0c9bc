"""Engines that are not there, die, fail, stand still or never begin: before the first byte a status, after it an event."""

from __future__ import annotations

from dataclasses import replace

import httpx
import openai
import pytest

from tests.supervisor.completions import CHAT, Gateway, chat, events, words
from tests.supervisor.engines import Broken, Scripted
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
from xinfer.messages import ModelState


async def test_second_replica_answers_for_one_that_is_not_there(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    dead = dead_replica()
    async with fake_engine(tokens=2) as replica:
        await registry.tell_replicas(dead, replica)
        answers = [await http.post(CHAT, json=chat()) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert (await state_of(replica))["served"] == 3
    assert registry.asked == [("suspect", "m", dead.replica, dead.address)]


async def test_no_replica_is_there(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    replicas = [dead_replica() for _ in range(3)]
    await registry.tell_replicas(*replicas)
    first = await http.post(CHAT, json=chat())
    assert first.status_code == 503
    assert int(first.headers["retry-after"]) >= 1
    assert first.json()["error"]["code"] == "unavailable"
    assert len(registry.asked) == 2, "one retry, never two"
    assert (await http.post(CHAT, json=chat())).status_code == 503
    suspects = list(registry.asked)
    assert {name for _, _, name, _ in suspects} == {replica.replica for replica in replicas}
    assert (await http.post(CHAT, json=chat())).status_code == 503
    assert registry.asked == suspects, "suspects are left alone"


async def test_last_table_goes_on_being_true_while_the_registry_is_away(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    async with fake_engine(tokens=1) as replica:
        await registry.tell_replicas(replica)
        registry.away = True
        await registry.tell()
        assert (await http.post(CHAT, json=chat())).status_code == 200


async def test_replicas_stay_until_a_new_registry_knows_them(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    """It has the model from its file, and hears of the replicas one after the other."""
    async with fake_engine(tokens=1) as first, fake_engine(tokens=1) as second:
        await registry.tell_replicas(first, second)
        coming = model_status(state=ModelState.LAUNCHING, restored=True)
        for known in (coming, replace(coming, state=ModelState.READY, replicas=(first,))):
            await registry.tell(known)
            answers = [await http.post(CHAT, json=chat()) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200] * 4
        assert (await state_of(second))["served"] >= 2

        await registry.tell(replace(coming, restored=False))
        assert (await http.post(CHAT, json=chat())).json()["error"]["code"] == "model_loading"


@pytest.mark.parametrize("state", [ModelState.TERMINATING, ModelState.FAILED])
async def test_no_replicas_of_a_model_that_a_new_registry_takes_down(
    http: httpx.AsyncClient, registry: RegistryDouble, state: ModelState
) -> None:
    async with fake_engine(tokens=1) as replica:
        await registry.tell_replicas(replica)
        await registry.tell(model_status(state=state, restored=True))
        assert (await http.post(CHAT, json=chat())).status_code == 404


@pytest.mark.parametrize("streams", [False, True])
async def test_engine_that_dies_before_its_first_token_costs_a_second_attempt(
    http: httpx.AsyncClient, registry: RegistryDouble, streams: bool
) -> None:
    async with fake_engine_process(fault="exit") as bad, fake_engine(tokens=2) as good:
        await registry.tell_replicas(bad, good)
        answer = await http.post(CHAT, json=chat(stream=streams))
        assert answer.status_code == 200, answer.text
        assert "1 " in answer.text
        assert (await state_of(good))["served"] == 1


async def test_engine_that_dies_in_a_stream_leaves_one_error_event(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    async with fake_engine_process(fault="exit", fault_after=3, gap_s=0.01) as replica:
        await registry.tell_replicas(replica)
        answer = await http.post(CHAT, json=chat(stream=True))
    assert answer.status_code == 200
    *chunks, error = events(answer.text)
    assert words(chunks) == "0 1 2 "
    assert all("error" not in chunk for chunk in chunks)
    assert (error["error"]["code"], type(error["detail"])) == ("engine_lost", str)
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize(
    ("first", "second"), [(b"data: 1\n\n", b'data: {"id'), (b"data: 1\n\nda", b"ta: 2\n\n"), (b"data: 1\n", b"\n")]
)
async def test_error_event_stands_apart_from_what_came_before(
    http: httpx.AsyncClient, registry: RegistryDouble, first: bytes, second: bytes
) -> None:
    """Wherever the answer was cut."""
    engine = Broken(first, None, second)
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        async with http.stream("POST", CHAT, json=chat(stream=True)) as answer:
            pieces = answer.aiter_raw()
            assert await anext(pieces) == first
            engine.go.set()
            rest = b"".join([piece async for piece in pieces])
    came, _, error = (first + rest).decode().removesuffix("\n\n").rpartition("\n\n")
    assert came.strip() == (first + second).decode().strip()
    assert events(error)[0]["error"]["code"] == "engine_lost"


async def test_openai_s_client_raises_when_the_engine_dies(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with (
        fake_engine_process(fault="exit", fault_after=1, gap_s=0.01) as replica,
        openai.AsyncOpenAI(api_key="x", base_url=str(http.base_url.join("/v1")), max_retries=0) as client,
    ):
        await registry.tell_replicas(replica)
        stream = await client.completions.create(model="m", prompt="hello", stream=True)
        with pytest.raises(openai.APIError, match="went away"):
            async for _ in stream:
                pass


async def test_engine_that_fails_in_a_stream_leaves_one_error_event(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    async with fake_engine(fault="error", fault_after=2) as replica:
        await registry.tell_replicas(replica)
        answer = await http.post(CHAT, json=chat(stream=True))
    *chunks, error = events(answer.text)
    assert words(chunks) == "0 1 "
    assert error["error"]["code"] == "internal_error"


async def test_engine_that_stands_still_in_a_stream(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(idle_timeout_s=0.3)
    async with fake_engine(fault="hang", fault_after=2) as replica:
        await registry.tell_replicas(replica)
        answer = await http.post(CHAT, json=chat(stream=True), timeout=3)
        *chunks, error = events(answer.text)
        assert words(chunks) == "0 1 "
        assert error["error"]["code"] == "engine_timeout"
        await until(replica, running=0, aborted=1)


@pytest.mark.parametrize("streams", [False, True])
async def test_engine_that_never_begins(gateway: Gateway, registry: RegistryDouble, streams: bool) -> None:
    http = await gateway(first_byte_timeout_s=0.3)
    async with fake_engine(fault="hang") as replica:
        await registry.tell_replicas(replica)
        answer = await http.post(CHAT, json=chat(stream=streams), timeout=3)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "engine_timeout")
        assert "retry-after" in answer.headers
        await until(replica, running=0, aborted=1)


@pytest.mark.parametrize("kind", [b"text/event-stream", b"application/json"])
async def test_engine_that_sends_a_head_and_nothing_else(
    gateway: Gateway, registry: RegistryDouble, kind: bytes
) -> None:
    http = await gateway(first_byte_timeout_s=0.3)
    engine = Scripted(None, kind=kind)
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        answer = await http.post(CHAT, json=chat(stream=True))
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "engine_timeout")
        await eventually(lambda: engine.aborted == 1)


async def test_pauses_below_the_limit_are_fine(gateway: Gateway, registry: RegistryDouble) -> None:
    """The limit is for each pause, not for the answer."""
    http = await gateway(idle_timeout_s=0.5, first_byte_timeout_s=0.5, write_timeout_s=0.05)
    async with fake_engine(tokens=8, gap_s=0.1) as replica:
        await registry.tell_replicas(replica)
        answer = await http.post(CHAT, json=chat(stream=True))
        assert events(answer.text)[-1] == "[DONE]"


@pytest.mark.parametrize("status", [200, 400])
async def test_whole_answer_that_breaks_off_is_asked_for_once_more(
    http: httpx.AsyncClient, registry: RegistryDouble, status: int
) -> None:
    """Nothing of it was sent. No broken JSON comes out either way."""
    engine = Broken(b'{"id": "x", ', status=status, kind=b"application/json", size=1000)
    async with serving(engine) as url, fake_engine(tokens=2) as good:
        await registry.tell_replicas(report(address=url))
        answer = await http.post(CHAT, json=chat())
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert len(engine.asked) == 2, "one retry, never two"
        await registry.tell_replicas(report(address=url), good)
        answers = [await http.post(CHAT, json=chat()) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 200]


DEAD_CORE = b'{"error": {"message": "EngineCore encountered an issue. See stack trace (above) ...", "code": 500}}'


@pytest.mark.parametrize("streams", [False, True])
async def test_engine_whose_core_has_died_is_not_tried_again(
    http: httpx.AsyncClient, registry: RegistryDouble, streams: bool
) -> None:
    """VLLM's server says so for a moment before it ends, too."""
    engine = Scripted(DEAD_CORE, status=500, kind=b"application/json", size=len(DEAD_CORE))
    async with serving(engine) as url, fake_engine(tokens=2) as good:
        await registry.tell_replicas(report(address=url), good)
        answers = [await http.post(CHAT, json=chat(stream=streams)) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert len(engine.asked) == 1
        await registry.tell_replicas(report(address=url))
        assert (await http.post(CHAT, json=chat(stream=streams))).status_code == 503
        assert len(engine.asked) == 1


async def test_any_other_failure_of_an_engine_is_not_tried_elsewhere(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    """A request that an engine cannot bear must not go round."""
    body = b'{"error": {"message": "list index out of range", "code": 500}}'
    engine = Scripted(body, status=500, kind=b"application/json", size=len(body))
    async with serving(engine) as url:
        await registry.tell_replicas(report("r1", address=url), report("r2", address=url))
        assert (await http.post(CHAT, json=chat())).status_code == 500
    assert len(engine.asked) == 1


async def test_whole_answer_that_stands_still(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(idle_timeout_s=0.2)
    engine = Scripted(b'{"id": "x", ', None, kind=b"application/json")
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        answer = await http.post(CHAT, json=chat())
        await eventually(lambda: engine.aborted == 1)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "engine_timeout")
