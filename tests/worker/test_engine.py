"""An engine in a process of its own, played by the fake one: how it comes up, fails and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from worker.command import engine_env
from worker.engine import Argv, ServerEngine
from worker.engine_kind import fake_argv
from xinfer.errors import LaunchFailed
from xinfer.messages import ModelSpec, ReplicaStage
from xinfer.settings import EngineSettings

STARTING, LOADING, WARMING_UP, READY = (
    ReplicaStage.STARTING,
    ReplicaStage.LOADING,
    ReplicaStage.WARMING_UP,
    ReplicaStage.READY,
)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., ServerEngine]]:
    """Makes engines; each test ends with none of their processes left."""
    made: list[ServerEngine] = []

    def make(argv: Argv = fake_argv, start_timeout_s: float = 20, **behaviour: Any) -> ServerEngine:
        spec = ModelSpec("m", "fake", "/m", context_length=77, engine="fake", engine_args=behaviour)
        settings = EngineSettings(start_timeout_s=start_timeout_s, stop_grace_s=2)
        made.append(ServerEngine(spec, settings, "127.0.0.1", tmp_path / f"{len(made)}.log", argv, engine_env))
        return made[-1]

    yield make
    for engine in made:
        await engine.stop()
        assert engine.pid is None or not psutil.pid_exists(engine.pid)


async def stages(engine: ServerEngine, seen: list[ReplicaStage] | None = None) -> list[ReplicaStage]:
    """Start it to the end; the stages are in ``seen`` even if it fails."""
    seen = [] if seen is None else seen
    async for stage in engine.start():
        seen.append(stage)
    return seen


def script(text: str) -> Argv:
    return lambda *_: [sys.executable, "-c", text]


async def test_comes_up_answers_and_goes(make: Callable[..., ServerEngine]) -> None:
    engine = make()
    assert engine.pid is None
    assert await stages(engine) == [STARTING, WARMING_UP, READY]
    assert engine.context_length == 77
    await engine.check()
    async with aiohttp.ClientSession() as http, http.get(f"{engine.address}/fake/state") as answer:
        state = await answer.json()
    assert (state["pid"], state["served"]) == (engine.pid, 1), "it has answered a generation before it is ready"
    await engine.stop()
    await asyncio.wait_for(engine.wait(), 1)
    with pytest.raises(RuntimeError, match="ended"):
        await engine.check()
    await engine.stop()


async def test_two_engines_do_not_meet(make: Callable[..., ServerEngine]) -> None:
    one, two = make(), make()
    await asyncio.gather(stages(one), stages(two))
    assert one.address != two.address
    await one.stop()
    await two.check()


async def test_kill_is_noticed(make: Callable[..., ServerEngine]) -> None:
    engine = make()
    await stages(engine)
    assert engine.pid
    waiting = asyncio.create_task(engine.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    os.kill(engine.pid, signal.SIGKILL)
    await asyncio.wait_for(waiting, 2)
    with pytest.raises(RuntimeError, match="ended"):
        await engine.check()


async def test_failed_start_says_the_engine_s_own_last_error(make: Callable[..., ServerEngine]) -> None:
    with pytest.raises(LaunchFailed) as caught:
        await stages(make(start_error="no room for the KV cache"))
    assert caught.value.message == "no room for the KV cache"


async def test_end_without_a_word(make: Callable[..., ServerEngine]) -> None:
    with pytest.raises(LaunchFailed, match="exit code 7"):
        await stages(make(script("import sys; sys.exit(7)")))


async def test_start_that_takes_too_long(make: Callable[..., ServerEngine]) -> None:
    engine = make(start_timeout_s=0.3, start_s=60)
    with pytest.raises(LaunchFailed, match=r"did not come up within 0\.3 s"):
        await stages(engine)
    await engine.stop()
    await asyncio.wait_for(engine.wait(), 1)


async def test_death_in_the_first_answer(make: Callable[..., ServerEngine]) -> None:
    with pytest.raises(LaunchFailed, match="exit code 1"):
        await stages(make(fault="exit"))


async def test_first_answer_that_never_comes(make: Callable[..., ServerEngine]) -> None:
    engine = make(start_timeout_s=2, fault="hang")
    seen: list[ReplicaStage] = []
    with pytest.raises(LaunchFailed, match="did not come up"):
        await stages(engine, seen)
    assert seen == [STARTING, WARMING_UP]


async def test_engine_that_listens_but_does_not_generate(make: Callable[..., ServerEngine]) -> None:
    with pytest.raises(LaunchFailed, match="does not generate"):
        await stages(make(fault="error"))


async def test_stages_are_read_off_its_log(make: Callable[..., ServerEngine]) -> None:
    lines = ["Fetching 9 files: 0%", "Starting to load model", "Fetching 9 files: 100%", "ValueError: and then this"]
    text = f"import time\nfor line in {lines!r}:\n    print(line, flush=True)\n    time.sleep(0.3)"
    seen: list[ReplicaStage] = []
    with pytest.raises(LaunchFailed, match="and then this"):
        await stages(make(script(text)), seen)
    assert seen == [STARTING, LOADING]


async def test_stop_before_start(make: Callable[..., ServerEngine]) -> None:
    engine = make()
    await engine.stop()
    await engine.wait()
    with pytest.raises(RuntimeError):
        await engine.check()


async def test_stop_in_the_middle_of_a_start(make: Callable[..., ServerEngine]) -> None:
    engine = make(start_s=60)
    starting = engine.start()
    assert await anext(starting) is STARTING
    await engine.stop()
    await starting.aclose()
    await asyncio.wait_for(engine.wait(), 1)
