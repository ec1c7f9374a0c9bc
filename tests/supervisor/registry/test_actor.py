"""The registry's actor without Ray: a double in Serve's place, the real SQLite file, events in an order of the test's choice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from supervisor.registry import actor
from supervisor.registry.actor import Registry
from supervisor.registry.idleness import Idleness
from supervisor.registry.store import Store
from tests.supervisor.samples import report, spec
from tests.waiting import eventually
from xinfer.errors import Conflict, LaunchRefused, ModelNotFound, Unavailable
from xinfer.messages import DownloadState, ModelSpec, ModelState, ModelStatus, Registration, ReplicaStage, Usage
from xinfer.settings import EngineSettings


class DeployerDouble:
    """Serve, as the registry sees it. ``deploying`` and ``deleting`` hold calls up while they are cleared."""

    def __init__(self, **found: bool) -> None:
        self.calls: list[tuple[str, str]] = []
        self.applications = dict(found)
        self.deploying = asyncio.Event()
        self.deleting = asyncio.Event()
        self.deploying.set()
        self.deleting.set()
        self.failure: Exception | None = None
        self.refusal: LaunchRefused | None = None
        self.drained: set[str] = set()

    def check_room(self, spec: ModelSpec, models: Iterable[ModelStatus]) -> None:
        if self.refusal:
            raise self.refusal

    def choose_nodes(self, spec: ModelSpec, models: object, reports: object) -> tuple[tuple[str, ...], ...]:
        return (("n1",),)

    async def deploy(self, spec: ModelSpec) -> None:
        uid = spec.uid
        self.calls.append(("deploy", uid))
        await self.deploying.wait()
        if self.failure:
            raise self.failure
        self.applications[uid] = True

    async def comes_up(self, uid: str) -> bool:
        await asyncio.Event().wait()
        return True

    async def delete(self, uid: str) -> None:
        self.calls.append(("delete", uid))
        await self.deleting.wait()
        self.applications.pop(uid, None)

    async def found(self) -> dict[str, bool]:
        return dict(self.applications)

    def draining(self) -> set[str]:
        return self.drained


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Registry]]:
    """Starts registries on one file; each call is a restart of the one before."""
    running: list[tuple[Registry, Store]] = []

    def make(deployer: DeployerDouble, *, restarted: bool = False, settings: EngineSettings | None = None) -> Registry:
        store = Store(tmp_path / "registry.sqlite")
        registry = Registry(settings or EngineSettings(), deployer, store, restarted=restarted)
        running.append((registry, store))
        return registry

    yield make
    for registry, store in running:
        await registry.stop()
        store.close()


async def state(registry: Registry, uid: str = "m") -> ModelState | None:
    model = (await registry.watch(0, 0.0)).models.get(uid)
    return model.state if model else None


async def launched(start: Callable[..., Registry]) -> Registry:
    """A registry whose model ``m`` Serve has taken; what replicas say before that is of an older application."""
    deployer = DeployerDouble()
    registry = start(deployer)
    await registry.launch(spec())
    await until_called(deployer, ("deploy", "m"))
    return registry


async def until_called(deployer: DeployerDouble, *calls: tuple[str, str]) -> None:
    await eventually(lambda: deployer.calls == list(calls))


async def test_launch(start: Callable[..., Registry]) -> None:
    deployer = DeployerDouble()
    registry = start(deployer)
    await registry.launch(spec())
    await until_called(deployer, ("deploy", "m"))
    assert await state(registry) is ModelState.LAUNCHING
    await registry.report(report())
    assert await state(registry) is ModelState.READY


async def test_refused_launch_leaves_nothing(start: Callable[..., Registry]) -> None:
    deployer = DeployerDouble()
    deployer.refusal = LaunchRefused("no GPUs")
    registry = start(deployer)
    with pytest.raises(LaunchRefused):
        await registry.launch(spec())
    assert await state(registry) is None
    assert deployer.calls == []


async def test_serve_refuses_the_application(start: Callable[..., Registry]) -> None:
    deployer = DeployerDouble()
    deployer.failure = RuntimeError("Serve is not well")
    registry = start(deployer)
    await registry.launch(spec())
    await until_called(deployer, ("deploy", "m"), ("delete", "m"))
    await asyncio.sleep(0)
    assert await state(registry) is ModelState.FAILED


async def test_engine_fails_while_serve_deploys(start: Callable[..., Registry]) -> None:
    deployer = DeployerDouble()
    deployer.deploying.clear()
    registry = start(deployer)
    await registry.launch(spec())
    await until_called(deployer, ("deploy", "m"))
    await registry.report(report("r1", ReplicaStage.FAILED, info="out of memory"))
    deployer.deploying.set()
    await until_called(deployer, ("deploy", "m"), ("delete", "m"))
    await asyncio.sleep(0)
    model = (await registry.watch(0, 0.0)).models["m"]
    assert (model.state, model.reason) == (ModelState.FAILED, "out of memory")


async def test_terminate_during_deploy(start: Callable[..., Registry], tmp_path: Path) -> None:
    deployer = DeployerDouble()
    deployer.deploying.clear()
    registry = start(deployer)
    await registry.launch(spec())
    await until_called(deployer, ("deploy", "m"))
    ending = asyncio.create_task(registry.terminate("m"))
    await asyncio.sleep(0.01)
    assert not ending.done()
    deployer.deploying.set()
    await ending
    assert deployer.calls == [("deploy", "m"), ("delete", "m")]
    assert await state(registry) is None
    assert Store(tmp_path / "registry.sqlite").load() == []


async def test_cancel_twice_at_once(start: Callable[..., Registry]) -> None:
    deployer = DeployerDouble()
    deployer.deleting.clear()
    registry = start(deployer)
    await registry.launch(spec())
    await until_called(deployer, ("deploy", "m"))
    both = [asyncio.create_task(registry.cancel("m")) for _ in range(2)]
    await until_called(deployer, ("deploy", "m"), ("delete", "m"))
    assert not any(task.done() for task in both)
    deployer.deleting.set()
    await asyncio.gather(*both)
    assert await state(registry) is ModelState.CANCELLED
    assert deployer.calls.count(("delete", "m")) == 1


async def test_cancel_of_a_ready_model(start: Callable[..., Registry]) -> None:
    registry = await launched(start)
    await registry.report(report())
    with pytest.raises(Conflict):
        await registry.cancel("m")


@pytest.mark.parametrize(
    ("found", "calls"),
    [
        ({"m": True}, []),
        ({"m": False}, [("delete", "m"), ("deploy", "m")]),
        ({}, [("deploy", "m")]),
    ],
)
async def test_restart(start: Callable[..., Registry], found: dict[str, bool], calls: list[tuple[str, str]]) -> None:
    first = start(DeployerDouble())
    await first.launch(spec())
    await first.stop()

    deployer = DeployerDouble(**found)
    second = start(deployer, restarted=True)
    assert (await second.watch(0, 0)).models["m"].restored
    await until_called(deployer, *calls)
    await eventually(lambda: second._reconciler.is_at_rest)
    runs = not calls
    assert (await second.watch(0, 0)).models["m"].restored is runs
    await second.report(report())
    assert await state(second) is ModelState.READY
    assert not (await second.watch(0, 0)).models["m"].restored


async def test_replicas_that_a_new_registry_does_not_hear_of(start: Callable[..., Registry]) -> None:
    """They count as gone when those that live must have reported."""
    first = start(DeployerDouble())
    await first.launch(spec())
    await first.stop()

    second = start(DeployerDouble(m=True), restarted=True, settings=EngineSettings(health_period_s=0.02))
    assert (await second.watch(0, 0)).models["m"].restored
    await eventually(lambda: not second._models.table().models["m"].restored)
    assert await state(second) is ModelState.LAUNCHING


async def test_restart_finds_an_application_that_nobody_asked_for(start: Callable[..., Registry]) -> None:
    deployer = DeployerDouble(stranger=True)
    registry = start(deployer, restarted=True)
    await until_called(deployer, ("delete", "stranger"))
    assert await state(registry, "stranger") is None


async def test_change_is_confirmed_when_every_supervisor_has_it(start: Callable[..., Registry]) -> None:
    registry = start(DeployerDouble())
    for supervisor in ("first", "second"):
        await registry.watch(0, 0.0, supervisor)
    await registry.launch(spec())
    version = (await registry.watch(0, 0.0)).version
    reaching = asyncio.create_task(registry.reach_all(version))
    await registry.watch(version, 0.0, "first")
    await asyncio.sleep(0.01)
    assert not reaching.done()
    await registry.watch(version, 0.0, "second")
    await asyncio.wait_for(reaching, 0.5)


async def test_wake_of_an_unknown_model(start: Callable[..., Registry]) -> None:
    with pytest.raises(ModelNotFound):
        await start(DeployerDouble()).wake("ghost")


async def test_wake_and_sleep_race(start: Callable[..., Registry], tmp_path: Path) -> None:
    """A request comes while the application of a model that falls asleep is being deleted."""
    store = Store(tmp_path / "registry.sqlite")
    store.save(spec(), asleep=True)
    store.close()
    deployer = DeployerDouble(m=True)
    deployer.deleting.clear()
    registry = start(deployer, restarted=True)
    await until_called(deployer, ("delete", "m"))
    assert await state(registry) is ModelState.SLEEPING
    assert await registry.wake("m") == ""
    assert await registry.wake("m") == ""
    assert deployer.calls == [("delete", "m")]
    deployer.deleting.set()
    await until_called(deployer, ("delete", "m"), ("deploy", "m"))
    await registry.report(report())
    assert await state(registry) is ModelState.READY


@pytest.fixture
def old_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that has just started lets nothing sleep: a supervisor may be unheard."""
    monkeypatch.setattr(actor, "Idleness", lambda now: Idleness(now - 60))


async def test_sleep_that_is_asked_for(old_enough: None, start: Callable[..., Registry]) -> None:
    registry = await launched(start)
    with pytest.raises(Conflict, match="not up"):
        await registry.sleep("m")
    await registry.report(report())
    assert await registry.sleep("m")
    assert await state(registry) is ModelState.SLEEPING
    assert await registry.sleep("m"), "asking twice is fine"
    assert await registry.wake("m") == ""
    await registry.report(report("another"))
    assert await state(registry) is not ModelState.SLEEPING


async def test_sleep_of_a_model_in_use(
    old_enough: None, start: Callable[..., Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "_SLEEP_S", 0.1)
    registry = await launched(start)
    await registry.report(report())
    await registry.watch(0, 0.0, "supervisor", {"m": Usage(in_flight=1)})
    assert not await registry.sleep("m")
    assert await state(registry) is ModelState.READY


async def test_wake_without_room(start: Callable[..., Registry], tmp_path: Path) -> None:
    store = Store(tmp_path / "registry.sqlite")
    store.save(spec(), asleep=True)
    store.close()
    deployer = DeployerDouble()
    deployer.refusal = LaunchRefused("no GPUs")
    registry = start(deployer)
    assert "no GPUs" in await registry.wake("m")
    assert await state(registry) is ModelState.SLEEPING


async def test_suspect_that_nobody_reaches(start: Callable[..., Registry]) -> None:
    registry = await launched(start)
    await registry.report(report(address="http://127.0.0.1:1"))
    await registry.suspect("m", "r1", "http://127.0.0.1:1")
    model = (await registry.watch(0, 0.0)).models["m"]
    assert (model.state, model.replicas) == (ModelState.LAUNCHING, ())


async def test_suspect_that_answers(start: Callable[..., Registry]) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    registry = await launched(start)
    await registry.report(report(address=address))
    await registry.suspect("m", "r1", address)
    assert await state(registry) is ModelState.READY
    server.close()
    await server.wait_closed()


async def test_download_does_not_push_the_table(start: Callable[..., Registry]) -> None:
    registry = await launched(start)
    await eventually(lambda: registry._reconciler.is_at_rest)
    await registry.report(report("r1", ReplicaStage.DOWNLOADING, download=DownloadState(1, 10)))
    version = (await registry.watch(0, 0.0)).version
    later = report("r1", ReplicaStage.DOWNLOADING, download=DownloadState(5, 10))
    await registry.report(later)
    assert (await registry.watch(0, 0.0)).version == version
    assert await registry.progress("m") == [later]
    assert await registry.progress("ghost") == []


async def test_families_travel_once(start: Callable[..., Registry]) -> None:
    registry = start(DeployerDouble())
    await registry.register(Registration("whale", "{}"))
    first = await registry.watch(0, 0.0)
    assert first.families == ("{}",)
    again = await registry.watch(0, 0.0, families_version=first.families_version)
    assert (again.families, again.families_version) == (None, first.families_version)
    await registry.unregister("whale")
    assert (await registry.watch(0, 0.0, families_version=first.families_version)).families == ()


async def test_drain_of_the_cluster(start: Callable[..., Registry]) -> None:
    """Both supervisors hear of it; it is over when both have said so. Nothing is launched meanwhile."""
    registry = start(DeployerDouble())
    await registry.launch(spec())
    for supervisor in ("a", "b"):
        await registry.watch(0, 0, supervisor)
    drain = asyncio.create_task(registry.drain_cluster(30))
    version = (await registry.watch(0, 0)).version
    await eventually(lambda: registry._drain.stops_at is not None)
    assert (await registry.watch(version, 1)).stops_at is not None
    with pytest.raises(Unavailable):
        await registry.launch(spec("other"))
    with pytest.raises(Unavailable):
        await registry.scale("m", 2)
    await registry.drained("a")
    await asyncio.sleep(0)
    assert not drain.done()
    await registry.drained("b")
    assert await drain is True


async def test_drain_that_takes_too_long(start: Callable[..., Registry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "_LAST_WORDS_S", 0.05)
    registry = start(DeployerDouble())
    await registry.watch(0, 0, "a")
    assert await registry.drain_cluster(0.05) is False
