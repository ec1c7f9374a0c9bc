"""Which models start without compilation, and how they are compiled for the next start."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from worker.command import engine_env
from worker.compile_ahead import CompileAhead, starts_uncompiled
from worker.cpu_model import IS_COMPILED
from worker.memory import limits
from xinfer.errors import LaunchFailed
from xinfer.messages import ModelSpec, ReplicaStage
from xinfer.settings import EngineSettings

BESIDE = EngineSettings()
NEVER = EngineSettings(cpu_compilation="never")
BEFORE = EngineSettings(cpu_compilation="before")


@pytest.fixture(autouse=True)
def of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM's cache in a folder of this test, and a compiler, whatever this machine has."""
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path / "cache"))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


@pytest.fixture
def model(tmp_path: Path) -> ModelSpec:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return ModelSpec(uid="m", name="f", path=str(tmp_path))


def with_arguments(model: ModelSpec, **arguments: Any) -> ModelSpec:
    return ModelSpec(uid=model.uid, name=model.name, path=model.path, engine_args=arguments)


class Copy:
    """The second engine: as many stages as it is given, then an error if it is given one."""

    def __init__(self, pid: int, error: Exception | None = None, *, waits: bool = False) -> None:
        self.pid = pid
        self.error = error
        self.waits = waits
        self.specs: list[ModelSpec] = []
        self.stops = 0

    def make(self, spec: ModelSpec) -> Any:
        self.specs.append(spec)
        return self

    async def start(self) -> AsyncIterator[ReplicaStage]:
        yield ReplicaStage.STARTING
        if self.waits:
            await asyncio.sleep(60)
        if self.error:
            raise self.error
        yield ReplicaStage.READY

    async def stop(self) -> None:
        self.stops += 1


@pytest.fixture
def process() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        yield sleeper.pid
        sleeper.kill()


async def compiled(model: ModelSpec, copy: Copy, settings: EngineSettings = BESIDE) -> None:
    """Start it and let it come to its end."""
    ahead = CompileAhead(model, settings, copy.make)
    ahead.start()
    if ahead._task:
        await ahead._task


async def test_next_engine_is_compiled(model: ModelSpec, process: int) -> None:
    assert starts_uncompiled(model, BESIDE)
    copy = Copy(process)
    await compiled(model, copy)
    assert [spec.engine_args for spec in copy.specs] == [{"enforce_eager": False}], (
        "an argument that the launch could give"
    )
    assert os.getpriority(os.PRIO_PROCESS, process) == 19
    assert copy.stops == 1
    assert not starts_uncompiled(model, BESIDE)
    await compiled(model, copy)
    assert len(copy.specs) == 1, "what is compiled is compiled again"


async def test_its_engine_is_told(model: ModelSpec, process: int) -> None:
    assert IS_COMPILED not in engine_env(model, BESIDE)
    await compiled(model, Copy(process))
    assert engine_env(model, BESIDE)[IS_COMPILED] == "1"
    with_own = with_arguments(model, optimization_level=0)
    assert IS_COMPILED not in engine_env(with_own, BESIDE), "such a model is compiled by vLLM, or not at all"


async def test_other_arguments_are_another_model(model: ModelSpec, process: int) -> None:
    await compiled(model, Copy(process))
    assert starts_uncompiled(with_arguments(model, max_num_seqs=4), BESIDE)


async def test_failure_leaves_it_as_it_is(model: ModelSpec, process: int) -> None:
    copy = Copy(process, LaunchFailed("no compiler"))
    await compiled(model, copy)
    assert copy.stops == 1
    assert starts_uncompiled(model, BESIDE)


async def test_two_replicas_compile_once(model: ModelSpec, process: int) -> None:
    first = Copy(process, waits=True)
    ahead = CompileAhead(model, BESIDE, first.make)
    ahead.start()
    await asyncio.sleep(0.05)
    second = Copy(process)
    await compiled(model, second)
    assert (len(first.specs), len(second.specs)) == (1, 0)

    await ahead.stop()
    assert first.stops == 1, "the second engine outlives its replica"
    await compiled(model, second)
    assert len(second.specs) == 1, "the lock outlives its replica"


@pytest.mark.parametrize("settings", [NEVER, BEFORE], ids=lambda each: each.cpu_compilation)
async def test_operator_says_otherwise(model: ModelSpec, process: int, settings: EngineSettings) -> None:
    copy = Copy(process)
    await compiled(model, copy, settings)
    assert not copy.specs
    assert starts_uncompiled(model, settings) == (settings is NEVER)


async def test_what_was_compiled_before_is_loaded(model: ModelSpec, process: int) -> None:
    with_own = with_arguments(model, enforce_eager=True)
    for each in (model, with_own):
        await compiled(each, Copy(process), BEFORE)
    assert not starts_uncompiled(model, BESIDE), "the engine has compiled it while it started"
    assert IS_COMPILED in engine_env(model, BEFORE)
    assert IS_COMPILED not in engine_env(with_own, BEFORE)


async def test_without_a_compiler(model: ModelSpec, process: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    copy = Copy(process)
    await compiled(model, copy)
    assert not copy.specs
    assert starts_uncompiled(model, BESIDE), "vLLM would look for the compiler, and end"


@pytest.mark.parametrize("name", ["enforce_eager", "compilation_config", "enforce"])
def test_launch_says_otherwise(model: ModelSpec, name: str) -> None:
    assert not starts_uncompiled(with_arguments(model, **{name: False}), BESIDE)


def test_large_models_are_compiled_before(model: ModelSpec) -> None:
    with (Path(model.path) / "model.safetensors").open("wb") as file:
        file.truncate(2 * 1024**3 + 1)
    assert not starts_uncompiled(model, BESIDE)


def test_models_on_gpus_are_compiled_before(model: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "is_cpu_build", lambda: False)
    on_gpu = ModelSpec(uid="m", name="f", path=model.path, gpus=1)
    assert not starts_uncompiled(on_gpu, BESIDE)


def test_unknown_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINFER_CPU_COMPILATION", "sometimes")
    with pytest.raises(ValueError, match="XINFER_CPU_COMPILATION='sometimes': expected one of beside, before, never"):
        EngineSettings.from_environment()
