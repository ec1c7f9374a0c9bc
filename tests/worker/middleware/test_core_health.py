"""``/health`` as it speaks for the engine core."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from worker.middleware import ContractMiddleware, core_health

HEALTHY = [{"type": "http.response.start", "status": 200, "headers": []}, {"type": "http.response.body", "body": b""}]


class Core:
    """An engine client whose core responds while ``runs`` is set."""

    def __init__(self) -> None:
        self.calls = 0
        self.runs = asyncio.Event()
        self.runs.set()

    async def is_sleeping(self) -> bool:
        self.calls += 1
        await self.runs.wait()
        return False


async def vllm(scope: Any, receive: Any, send: Any) -> None:
    """vLLM's own health check, which sees nothing."""
    for message in HEALTHY:
        await send(message)


async def health(server: ContractMiddleware, core: object | None) -> int:
    out: list[Any] = []

    async def send(message: Any) -> None:
        out.append(message)

    scope: dict[str, Any] = {"type": "http", "path": "/health", "headers": []}
    if core:
        scope["app"] = SimpleNamespace(state=SimpleNamespace(engine_client=core))
    await server(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]
    await asyncio.sleep(0)  # the call goes out
    status: int = out[0]["status"]
    return status


async def test_a_core_that_is_stuck_for_too_long_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINFER_ENGINE_CORE_TIMEOUT_S", "0.1")
    core, server = Core(), ContractMiddleware(vllm)
    assert [await health(server, core) for _ in range(3)] == [200] * 3
    assert core.calls >= 2

    core.runs.clear()
    calls = core.calls
    assert [await health(server, core) for _ in range(3)] == [200] * 3, "it may be in a long step"
    await asyncio.sleep(0.12)
    assert [await health(server, core) for _ in range(3)] == [503] * 3
    assert core.calls == calls + 1, "one call at a time"

    # One that compiles something within its step is at work.
    used = itertools.count(10, 10)
    monkeypatch.setattr(core_health, "cpu_seconds_of_children", lambda: float(next(used)))
    assert [await health(server, core) for _ in range(3)] == [200] * 3
    await asyncio.sleep(0.8)
    assert await health(server, core) == 503, "but not for ever"

    core.runs.set()
    await asyncio.sleep(0)
    assert await health(server, core) == 200


async def test_a_core_that_dies_is_left_to_vllm() -> None:
    class Dead:
        async def is_sleeping(self) -> bool:
            raise RuntimeError("EngineCore encountered an issue.")

    server = ContractMiddleware(vllm)
    assert [await health(server, Dead()) for _ in range(3)] == [200] * 3


async def test_a_server_without_a_core() -> None:
    assert await health(ContractMiddleware(vllm), None) == 200
