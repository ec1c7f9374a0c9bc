"""``GET /v1/events``: all models first, then what changes, and nothing while nothing does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx

from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import RegistryDouble
from tests.waiting import eventually
from xinfer.messages import ModelState


async def events(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


async def test_first_all_then_changes(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    up, other = model_status(report(), uid="m"), model_status(uid="other")
    await registry.tell(up, other)
    async with asyncio.timeout(20), http.stream("GET", "/v1/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = events(response)
        name, first = await anext(stream)
        assert name == "models"
        seen = {each["model_uid"]: each["status"] for each in first["changed"]}
        assert seen.keys() <= {"m", "other"}
        while seen != {"m": "READY", "other": "READY"}:
            name, data = await anext(stream)
            seen.update({each["model_uid"]: each["status"] for each in data.get("changed", [])})
        await registry.tell(replace(up, state=ModelState.SLEEPING), other)
        name, data = await anext(stream)
        assert name == "models"
        assert [(each["model_uid"], each["status"]) for each in data["changed"]] == [("m", "SLEEPING")]
        assert data["gone"] == []
        await registry.tell(other)
        assert await anext(stream) == ("models", {"changed": [], "gone": ["m"]})


async def test_progress_of_launches(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell(model_status(uid="m", state=ModelState.LAUNCHING))
    async with asyncio.timeout(20), http.stream("GET", "/v1/events") as response:
        async for name, data in events(response):
            if name == "progress":
                assert data["m"]["stage"] == "placing"
                break


async def test_a_reader_that_leaves_is_forgotten(http: httpx.AsyncClient) -> None:
    before = len(asyncio.all_tasks())
    async with http.stream("GET", "/v1/events") as response:
        await anext(events(response))
    await eventually(lambda: len(asyncio.all_tasks()) <= before, 20, "end of the stream's task")
