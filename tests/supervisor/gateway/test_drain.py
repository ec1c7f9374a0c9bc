"""The end of a cluster as its clients see it: what is under way goes on for a while, nothing new begins."""

from __future__ import annotations

import asyncio
import time

import httpx

from tests.supervisor.completions import CHAT, chat, events, words
from tests.supervisor.samples import model_status
from tests.supervisor.servers import RegistryDouble, fake_engine, until
from tests.waiting import eventually


async def test_streams_in_time_end_by_themselves_and_nothing_new_begins(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    async with fake_engine(tokens=10, gap_s=0.05) as replica:
        await registry.tell_replicas(replica)
        running = asyncio.create_task(http.post(CHAT, json=chat(stream=True)))
        await until(replica, running=1)
        await registry.tell_to_stop(time.time() + 10)
        refused = await http.post(CHAT, json=chat())
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert "drained" not in [method for method, *_ in registry.asked]
        answer = await running
        assert events(answer.text)[-1] == "[DONE]"
        await eventually(lambda: "drained" in [method for method, *_ in registry.asked])


async def test_what_is_left_ends_with_an_error(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    """A stream with an event, a request whose response has not begun with a status."""
    async with fake_engine(tokens=1000, gap_s=0.02) as slow, fake_engine("n", first_token_s=30) as late:
        await registry.tell(model_status(slow), model_status(late, uid="n"))
        stream = asyncio.create_task(http.post(CHAT, json=chat(stream=True)))
        whole = asyncio.create_task(http.post(CHAT, json={**chat(), "model": "n"}))
        await until(slow, running=1)
        await until(late, running=1)
        began = time.monotonic()
        await registry.tell_to_stop(time.time() + 0.2)
        *chunks, error = events((await stream).text)
        assert words(chunks).startswith("0 1 ")
        assert error["error"]["code"] == "unavailable"
        answer = await whole
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert time.monotonic() - began < 2
        await until(slow, running=0, aborted=1)
        await eventually(lambda: "drained" in [method for method, *_ in registry.asked])


async def test_a_cluster_that_was_not_stopped_after_all(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine(tokens=1) as replica:
        await registry.tell_replicas(replica)
        for stops_at, status in [(time.time(), 503), (None, 200), (time.time(), 503)]:
            await registry.tell_to_stop(stops_at)
            assert (await http.post(CHAT, json=chat())).status_code == status
