"""Autoscaling in the registry's shell: kept on disk, and performed in the background."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from supervisor.registry.actor import Registry
from supervisor.registry.autoscaling.scaling import Scaling
from supervisor.registry.store import Store
from tests.supervisor.registry.test_actor import DeployerDouble
from tests.supervisor.samples import report, spec
from tests.waiting import eventually
from xinfer.errors import Conflict, LaunchRefused
from xinfer.messages import AutoscalingConfig, EngineLoad, ModelStatus, ReplicaStage, SupervisorLoad
from xinfer.schedules import parse_schedule
from xinfer.settings import EngineSettings

CONFIG = AutoscalingConfig(1, 3, target_ongoing_requests=2, schedules=(parse_schedule("daily max=3 tz=Asia/Taipei"),))


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[[DeployerDouble], Registry]]:
    """Starts registries on one file."""
    running: list[tuple[Registry, Store]] = []

    def make(deployer: DeployerDouble) -> Registry:
        store = Store(tmp_path / "registry.sqlite")
        running.append((Registry(EngineSettings(), deployer, store), store))
        return running[-1][0]

    yield make
    for registry, store in running:
        await registry.stop()
        store.close()


async def model(registry: Registry) -> ModelStatus:
    return (await registry.watch(0, 0.0)).models["m"]


async def test_settings_outlive_the_registry(start: Callable[[DeployerDouble], Registry]) -> None:
    deployer = DeployerDouble()
    first = start(deployer)
    await first.launch(spec())
    await eventually(lambda: deployer.calls == [("deploy", "m")])
    await first.report(report())
    await first.autoscale("m", CONFIG, 60.0)
    assert deployer.calls == [("deploy", "m")], "Serve need not know"
    await first.stop()

    second = start(deployer)
    found = await model(second)
    assert (found.spec.autoscaling, found.spec.idle_timeout_s) == (CONFIG, 60.0)
    # It may have ended between the two halves of a change of size.
    await eventually(lambda: deployer.calls == [("deploy", "m"), ("deploy", "m")])


async def test_load_makes_it_grow(start: Callable[[DeployerDouble], Registry]) -> None:
    deployer = DeployerDouble()
    registry = start(deployer)
    await registry.launch(spec(autoscaling=CONFIG))
    await eventually(lambda: deployer.calls == [("deploy", "m")])
    orders = await registry.report(report())
    assert orders.measure

    # Three times the target: the delay is not waited for.
    deadline = time.monotonic() + 20
    while (await registry.scaling("m")).desired == 1 and time.monotonic() < deadline:
        await registry.report_engine_load(report(), EngineLoad(running=6))
        await registry.report_load("s", 1, {"m": SupervisorLoad(in_flight=6)})
        await asyncio.sleep(0.05)
    assert (await registry.scaling("m")).desired == 3
    await eventually(lambda: deployer.calls == [("deploy", "m"), ("deploy", "m")])
    texts = [event.content for event in await registry.events("m")]
    assert any(text.startswith("Autoscaling from 1 to 3 replicas: 6 requests in flight") for text in texts)


async def test_a_failed_launch_has_no_settings_to_change(start: Callable[[DeployerDouble], Registry]) -> None:
    deployer = DeployerDouble()
    registry = start(deployer)
    await registry.launch(spec())
    await eventually(lambda: deployer.calls == [("deploy", "m")])
    await registry.report(report("r1", ReplicaStage.FAILED, info="out of memory"))
    with pytest.raises(Conflict):
        await registry.autoscale("m", CONFIG, None)


async def test_a_step_that_fails_does_not_end_autoscaling(
    start: Callable[[DeployerDouble], Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    start(DeployerDouble())
    steps: list[float] = []

    def step(_: Scaling, now: float, unix_time: float) -> list[object]:
        steps.append(now)
        raise RuntimeError("Ray does not know its nodes")

    monkeypatch.setattr(Scaling, "step", step)
    await eventually(lambda: len(steps) > 1, 20)


async def test_no_room(start: Callable[[DeployerDouble], Registry]) -> None:
    deployer = DeployerDouble()
    registry = start(deployer)
    await registry.launch(spec())
    await eventually(lambda: deployer.calls == [("deploy", "m")])
    await registry.report(report())
    deployer.refusal = LaunchRefused("no GPUs")
    with pytest.raises(LaunchRefused):
        await registry.scale("m", 2)
    assert (await model(registry)).desired == 1
