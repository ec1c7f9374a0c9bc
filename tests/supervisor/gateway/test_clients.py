"""Clients that leave, or stay and do not read."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from supervisor.app import Supervisor
from tests.supervisor.completions import CHAT, COMPLETIONS, Gateway, chat, events, raw_client, text, words
from tests.supervisor.engines import Flood, Scripted
from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import RegistryDouble, fake_engine, fake_engine_process, serving, state_of, until
from tests.waiting import eventually
from xinfer.settings import GatewaySettings

STREAM = json.dumps(chat(stream=True)).encode()


async def test_client_that_closes_a_stream_aborts_it(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine(tokens=10_000, gap_s=0.01) as replica:
        await registry.tell_replicas(replica)
        async with http.stream("POST", CHAT, json=chat(stream=True)) as answer:
            pieces = answer.aiter_raw()
            for _ in range(3):
                await anext(pieces)
            assert (await state_of(replica))["running"] == 1
        await until(replica, deadline_s=1, running=0, aborted=1, served=0)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, chat()),
        (COMPLETIONS, text()),
        (CHAT, chat(stream=True)),
        (COMPLETIONS, text(stream=True)),
    ],
)
async def test_client_that_leaves_before_the_first_token_aborts_the_request(
    http: httpx.AsyncClient, registry: RegistryDouble, path: str, body: dict[str, Any]
) -> None:
    async with fake_engine(tokens=10, first_token_s=60) as replica:
        await registry.tell_replicas(replica)
        asking = asyncio.create_task(http.post(path, json=body))
        await until(replica, running=1)
        asking.cancel()
        await until(replica, deadline_s=1, running=0, aborted=1, served=0)


async def test_client_that_leaves_in_the_middle_of_a_whole_answer_aborts_it(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    """Its head and first bytes have come from the engine; nothing of it has gone out."""
    engine = Scripted(b'{"id": ', None, kind=b"application/json")
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        asking = asyncio.create_task(http.post(CHAT, json=chat()))
        await eventually(lambda: engine.sent_bytes)
        asking.cancel()
        await eventually(lambda: engine.aborted == 1, deadline_s=1)


async def test_client_that_leaves_in_the_middle_of_its_upload_is_nobody_s_error(
    http: httpx.AsyncClient, registry: RegistryDouble, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    writer.write(b'POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"model":' % CHAT.encode())
    await writer.drain()
    writer.transport.abort()
    assert (await http.post(CHAT, json=chat())).status_code == 404
    assert caplog.records == []


async def test_slow_reader_slows_the_engine_down(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    """What is in flight is bounded by buffers, not by what the engine could send."""
    engine = Flood()
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        async with raw_client(http, STREAM) as reader:
            await reader.readline()
            before = -1
            while before != engine.sent_bytes:
                before = engine.sent_bytes
                assert before < 40_000_000
                await asyncio.sleep(0.3)


async def test_client_that_stops_reading_is_dropped(
    gateway: Gateway, registry: RegistryDouble, caplog: pytest.LogCaptureFixture
) -> None:
    http = await gateway(write_timeout_s=0.3)
    engine = Flood()
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        async with raw_client(http, STREAM) as reader:
            await reader.readline()
            await eventually(lambda: engine.aborted == 1, deadline_s=5)
            async with asyncio.timeout(5):
                rest = await reader.read(-1)
    assert not rest.endswith(b"0\r\n\r\n"), "an answer that was cut must not look like a whole one"
    (record,) = caplog.records
    assert "stopped reading" in record.getMessage()


async def test_client_that_stops_reading_holds_no_other_up(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(write_timeout_s=0.3)
    engine = Flood()
    async with serving(engine) as url, fake_engine(tokens=60, gap_s=0.02) as replica:
        await registry.tell(model_status(report(address=url)), model_status(replica, uid="n"))
        async with raw_client(http, STREAM):
            await eventually(lambda: engine.sent_bytes)
            other = asyncio.create_task(http.post(CHAT, json=chat(model="n", stream=True)))
            await eventually(lambda: engine.aborted == 1, deadline_s=5)
            assert not other.done(), "it ran while the first one was dropped"
            assert words(events((await other).text)) == "".join(f"{n} " for n in range(60))


class Stopping:
    """The supervisor for a client that takes an answer up to its last piece, which then does not fit into the buffers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""

        async def hold_the_end(message: Message) -> None:
            if scope["type"] == "http" and message["type"] == "http.response.body" and not message["more_body"]:
                await asyncio.Event().wait()
            await send(message)

        await self._app(scope, receive, hold_the_end)


@pytest.mark.parametrize("streams", [False, True])
async def test_client_that_does_not_take_the_end_is_dropped(registry: RegistryDouble, streams: bool) -> None:
    """And its place is free for the next one."""
    app = Stopping(Supervisor(GatewaySettings(write_timeout_s=0.2, max_requests_per_replica=1), registry))
    async with (
        fake_engine(tokens=3) as replica,
        serving(app, lifespan="on") as url,
        httpx.AsyncClient(base_url=url, timeout=5, verify=False) as http,
    ):
        await registry.tell_replicas(replica)
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message"):
                await http.post(CHAT, json=chat(stream=streams))


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


async def test_long_prompt_is_not_kept_while_its_answer_streams(
    http: httpx.AsyncClient, registry: RegistryDouble, traced: None
) -> None:
    streams, prompt_bytes = 20, 2_000_000
    body = json.dumps(chat("long " * (prompt_bytes // 5), stream=True)).encode()
    async with fake_engine_process(tokens=10_000, gap_s=0.1) as replica, AsyncExitStack() as clients:
        await registry.tell_replicas(replica)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(streams):
            reader = await clients.enter_async_context(raw_client(http, body))
            assert b"200" in await reader.readline()
        await until(replica, running=streams)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        assert after - before < streams * prompt_bytes / 8
