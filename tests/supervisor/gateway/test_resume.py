"""Streams that another replica goes on with: to the client, one stream as if nothing had happened."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.supervisor.completions import CHAT, COMPLETIONS, Gateway, chat, events, text, words
from tests.supervisor.engines import Broken, Scripted
from tests.supervisor.samples import report
from tests.supervisor.servers import RegistryDouble, fake_engine, fake_engine_process, serving, state_of
from xinfer.messages import ReplicaReport

RESUME = {"stream": True, "temperature": 0, "resume": True}
DELTA = b'{"id":"c-1","created":5,"object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":%s}]}'


def delta(fields: bytes) -> bytes:
    return b"data: " + DELTA % fields + b"\n\n"


async def ask(http: httpx.AsyncClient, registry: RegistryDouble, path: str, body: Any, *replicas: ReplicaReport) -> Any:
    """The events of a stream that begins at the first of ``replicas``, since that one is chosen first."""
    await registry.tell_replicas(*replicas)
    answer = await http.post(path, json=body)
    assert answer.status_code == 200
    return events(answer.text)


def one_response(stream: list[Any]) -> list[dict[str, Any]]:
    """The chunks, after a look at what they have in common."""
    chunks = [event for event in stream if event != "[DONE]"]
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    return chunks


@pytest.mark.parametrize("fault_after", [1, 4])
async def test_engine_that_dies(http: httpx.AsyncClient, registry: RegistryDouble, fault_after: int) -> None:
    """After its first token, or later."""
    async with fake_engine_process(fault="exit", fault_after=fault_after) as dying, fake_engine() as other:
        stream = await ask(http, registry, CHAT, chat(**RESUME, max_tokens=7), dying, other)
        rest = (await state_of(other))["last_body"]
    assert words(stream) == "0 1 2 3 4 5 6 "
    assert stream[-1] == "[DONE]"
    last = one_response(stream)[-1]
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["usage"] == {"prompt_tokens": 1 - fault_after, "completion_tokens": 7, "total_tokens": 8 - fault_after}
    assert rest["max_tokens"] == 7 - fault_after
    assert registry.asked[0][:3] == ("suspect", "m", dying.replica)


async def test_resumed_streams_are_counted(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    counted: list[Any] = []
    registry.exchange_metrics = lambda _, metrics: _noted(counted, metrics)  # type: ignore[method-assign]
    async with fake_engine_process(fault="exit", fault_after=1) as dying, fake_engine() as other:
        await ask(http, registry, CHAT, chat(**RESUME), dying, other)
        await http.get("/load")
    assert (counted[-1]["m"].resumed, counted[-1]["m"].errors) == (1, 0)
    assert {name: load.in_flight for name, load in counted[-1]["m"].replicas.items()} == {
        dying.replica: 0,
        other.replica: 0,
    }


async def _noted(counted: list[Any], metrics: Any) -> Any:
    counted.append(metrics)
    return metrics


async def test_text_completion(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine_process(fault="exit", fault_after=2) as dying, fake_engine() as other:
        stream = await ask(http, registry, COMPLETIONS, text("Count: ", **RESUME, max_tokens=5), dying, other)
    assert words(stream) == "0 1 2 3 4 "
    one_response(stream)


async def test_engine_that_stands_still(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(idle_timeout_s=0.5)
    async with fake_engine(fault="hang", fault_after=2) as hanging, fake_engine() as other:
        stream = await ask(http, registry, CHAT, chat(**RESUME, max_tokens=5), hanging, other)
        assert words(stream) == "0 1 2 3 4 "
        assert (await state_of(hanging))["aborted"] == 1


async def test_engine_that_says_its_core_is_dead(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    error = b'data: {"error":{"message":"EngineCore encountered an issue. See stack trace","code":500}}\n\n'
    script = Scripted(delta(b'{"role":"assistant","content":""}'), delta(b'{"content":"0 1 "}'), error)
    async with serving(script) as url, fake_engine() as other:
        stream = await ask(http, registry, CHAT, chat(**RESUME, max_tokens=4), report(address=url), other)
    assert words(stream) == "0 1 2 3 "
    assert {chunk["id"] for chunk in one_response(stream)} == {"c-1"}


async def test_half_an_event_is_not_sent(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    script = Broken(delta(b'{"content":"0 "}'), delta(b'{"content":"1 "}')[:30])
    async with serving(script) as url, fake_engine() as other:
        stream = await ask(http, registry, CHAT, chat(**RESUME, max_tokens=3), report(address=url), other)
    assert words(stream) == "0 1 2 "


@pytest.mark.parametrize(
    ("path", "body", "last"), [(CHAT, chat(**RESUME), "[DONE]"), (COMPLETIONS, text(**RESUME), None)]
)
async def test_lost_after_its_last_token(
    http: httpx.AsyncClient, registry: RegistryDouble, path: str, body: dict[str, Any], last: str | None
) -> None:
    """There is nothing to go on with."""
    said = b'"delta":{"content":"whole"}' if path == CHAT else b'"text":"whole"'
    chunk = b'data: {"id":"c","created":5,"choices":[{"index":0,%s,"finish_reason":"stop"}]}\n\n' % said
    async with serving(Broken(chunk)) as url, fake_engine() as other:
        stream = await ask(http, registry, path, body, report(address=url), other)
        assert (await state_of(other))["served"] == 0
    assert words(stream) == "whole"
    assert (stream[-1] == "[DONE]") == (last == "[DONE]")


async def test_two_losses_are_one_too_many(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    """A request that makes engines fail does not travel through the cluster."""
    dying = {"fault": "exit", "fault_after": 2}
    async with fake_engine_process(**dying) as one, fake_engine_process(**dying) as two, fake_engine() as three:
        stream = await ask(http, registry, CHAT, chat(**RESUME), one, two, three)
        assert (await state_of(three))["served"] == 0
    assert words(stream[:-1]) == "0 1 2 3 "
    assert stream[-1]["error"]["code"] == "engine_lost"


async def test_nobody_can_go_on(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine_process(fault="exit", fault_after=2) as dying:
        stream = await ask(http, registry, CHAT, chat(**RESUME), dying)
    assert words(stream[:-1]) == "0 1 "
    assert stream[-1]["error"]["code"] == "engine_lost"


async def test_half_a_thought_is_no_beginning(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    script = Broken(delta(b'{"role":"assistant","content":"","reasoning_content":"Hm, "}'))
    async with serving(script) as url, fake_engine() as other:
        stream = await ask(http, registry, CHAT, chat(**RESUME), report(address=url), other)
        assert (await state_of(other))["served"] == 0
    assert stream[-1]["error"]["code"] == "engine_lost"


async def test_what_follows_content_is_content(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    """Also if the engine's parser takes it for reasoning, as it does not see that the prompt has ended that."""
    async with serving(Broken(delta(b'{"content":"0 "}'))) as url, fake_engine(thoughts=3) as other:
        stream = await ask(http, registry, CHAT, chat(**RESUME, max_tokens=6), report(address=url), other)
    assert words(stream) == "0 1 2 3 4 5 "
    assert not any("reasoning_content" in chunk["choices"][0]["delta"] for chunk in one_response(stream))


async def test_other_streams_end_with_the_error(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine_process(fault="exit", fault_after=2) as dying, fake_engine() as other:
        stream = await ask(http, registry, CHAT, chat(stream=True, temperature=0), dying, other)
    assert words(stream[:-1]) == "0 1 "
    assert stream[-1]["error"]["code"] == "engine_lost"
