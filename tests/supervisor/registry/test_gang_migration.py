"""Gangs with a follower on a drained node: another one comes up, then they leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.registry.actor import Registry
from supervisor.registry.autoscaling.scaler import Host
from supervisor.registry.autoscaling.scaling import Scaling
from supervisor.registry.autoscaling.signals import Signals
from supervisor.registry.events import Events
from supervisor.registry.gang_migration import GangMigration
from supervisor.registry.models import Delete, Deploy, Models
from supervisor.registry.store import Store
from tests.supervisor.registry.states import NOW, READY
from tests.supervisor.registry.test_actor import DeployerDouble
from tests.supervisor.samples import report, spec
from tests.waiting import eventually
from xinfer.errors import LaunchRefused
from xinfer.messages import (
    AutoscalingConfig,
    EngineLoad,
    FollowerReport,
    ModelSpec,
    ModelStatus,
    ReplicaReport,
    ReplicaStage,
    SupervisorLoad,
)
from xinfer.settings import EngineSettings

PLACING, FAILED, STOPPED = ReplicaStage.PLACING, ReplicaStage.FAILED, ReplicaStage.STOPPED


def gang(
    replica: str = "r1", stage: ReplicaStage = ReplicaStage.READY, nodes: str = "AB", **facts: object
) -> ReplicaReport:
    """One with its leader on the first of ``nodes``, each of which has a letter as its address."""
    leader, *others = nodes
    followers = tuple(FollowerReport(rank, node) for rank, node in enumerate(others, start=1))
    return report(replica, stage, node=leader, followers=followers, **facts)


class World:
    """A registry's parts with a model ``m`` of gangs, and a Ray of which nodes are drained and may have no room."""

    def __init__(self, **facts: object) -> None:
        self.models = Models(version=0)
        self.models.add(spec(workers=2, **facts))
        self.serve = DeployerDouble()
        self.events = Events(self.models.table(), NOW)
        self.deployed: list[int] = []
        self.now = NOW
        host = Host(lambda _: None, self.wake, self.changed, lambda: False, lambda: self.now)
        self.migration = GangMigration(self.models, self.serve, self.events, host)
        self.act()

    async def wake(self, uid: str) -> str:
        raise NotImplementedError

    async def changed(self, uid: str) -> None:
        self.act()

    def act(self) -> None:
        """What the reconciler does."""
        while action := self.models.next_action("m", self.now):
            assert isinstance(action, Deploy)
            self.deployed.append(action.spec.replicas)

    def report(self, *reports: ReplicaReport) -> None:
        for each in reports:
            self.models.report(each)
            self.act()

    async def step(self, at: float = 0.0) -> None:
        await self.migration.step(at)

    @property
    def model(self) -> ModelStatus:
        return self.models.table().models["m"]

    @property
    def targets(self) -> list[str]:
        return [target.replica for target in self.model.targets]

    @property
    def notes(self) -> list[str]:
        return [event.content for event in self.events.of("m")]


async def drained(nodes: str = "B", **facts: object) -> World:
    """The gang ``r1`` on the nodes A and B, after the first look at what is drained."""
    world = World(**facts)
    world.report(gang())
    world.serve.drained = set(nodes)
    await world.step()
    return world


async def test_another_one_comes_up_and_then_it_leaves() -> None:
    world = await drained()
    assert world.deployed == [1, 2]
    assert (world.model.desired, world.model.is_complete, world.model.is_degraded) == (1, True, False)
    assert "Replica r1 has a worker on B, which is drained; another one comes up for it." in world.notes
    world.report(gang("r2", PLACING, "AC"))
    assert world.models.orders(gang("r2", PLACING, "AC")).start
    await world.step(1)
    assert world.targets == ["r1"]

    world.report(gang("r2", nodes="AC"))
    assert (world.targets, world.model.leaving, world.model.desired) == (["r2"], ("r1",), 1)
    scaling = Scaling(world.models, Signals(), lambda _: None)
    scaling.step(1, NOW + 1)
    assert world.models.orders(gang()).leave, "nobody uses it"

    world.report(gang("r1", STOPPED))
    world.report(gang("r3", PLACING, "AC"))
    assert not world.models.orders(gang("r3", PLACING, "AC")).start, "it only stands for the one that has left"
    assert world.deployed == [1, 2, 1]
    await world.step(2)
    assert (world.targets, world.deployed, world.model.scaling) == (["r2"], [1, 2, 1], False)


@pytest.mark.parametrize("nodes", ["C", "A", "AB"])
async def test_serve_moves_those_whose_leader_is_there(nodes: str) -> None:
    world = await drained(nodes)
    assert (world.deployed, world.model.reason) == ([1], "")


async def test_one_after_the_other() -> None:
    world = World(replicas=2)
    world.report(gang("r1"), gang("r2"))
    world.serve.drained = {"B"}
    await world.step()
    await world.step(1)
    assert world.deployed == [2, 3]
    world.report(gang("r3", nodes="AC"))
    await world.step(2)
    assert (world.model.leaving, world.model.desired, world.deployed) == (("r1",), 2, [2, 3, 4])

    # Serve's replacement for the first, and the one that comes up for the second, are not to be told apart.
    world.report(gang("r1", STOPPED), gang("r4", PLACING, "AC"), gang("r5", PLACING, "AC"))
    assert [world.models.orders(gang(name, PLACING)).start for name in ("r4", "r5")] == [True, False]
    world.report(gang("r4", nodes="AC"))
    assert (world.targets, world.model.leaving, world.deployed) == (["r3", "r4"], ("r2",), [2, 3, 4, 3])


async def test_stays_without_room_and_says_why_once() -> None:
    world = World()
    world.report(gang())
    world.serve.drained = {"B"}
    world.serve.refusal = LaunchRefused("1 node has a GPU.")
    await world.step()
    version = world.models.version
    await world.step(1)
    expected = "Replica r1 has a worker on B, which is drained, and stays there: 1 node has a GPU."
    assert (world.model.reason, world.notes.count(expected), world.deployed) == (expected, 1, [1])
    assert world.models.version == version
    assert world.targets == ["r1"]
    world.serve.refusal = None
    await world.step(2)
    assert (world.deployed, world.model.reason) == ([1, 2], "")


async def test_stays_if_another_one_does_not_come_up_and_is_tried_again_later() -> None:
    world = await drained()
    for number in range(5):
        world.report(gang(f"n{number}", PLACING, "AC"), gang(f"n{number}", FAILED, "AC", info="out of memory"))
        assert (world.targets, world.deployed[-1], world.model.state) == (["r1"], 1, READY)
        assert "out of memory" in world.model.reason
        at = 61.0 * (number + 1)
        await world.step(at - 2)
        assert world.deployed[-1] == 1
        await world.step(at)
        assert world.deployed[-1] == 2
        world.report(gang(updated_at=at))


@pytest.mark.parametrize("end", ["failed", "lost"])
async def test_dies_meanwhile(end: str) -> None:
    """The other one, and Serve's replacement, are one too many."""
    world = await drained()
    if end == "failed":
        world.report(gang("r1", FAILED, info="killed"))
    else:
        world.models.lost("m", "r1", NOW)
        world.act()
    assert (world.model.desired, world.deployed) == (1, [1, 2, 1])
    world.report(gang("r2", nodes="AC"))
    await world.step(1)
    assert (world.targets, world.model.leaving, world.deployed) == (["r2"], (), [1, 2, 1])


async def test_scaled_down_meanwhile_it_goes_and_no_other_comes() -> None:
    world = World(replicas=2)
    world.report(gang("r1"), gang("r2", nodes="AC"))
    world.serve.drained = {"B"}
    await world.step()
    world.models.resize("m", 1, ["r2", "r1"], NOW)
    world.act()
    assert (world.targets, world.model.leaving, world.model.desired) == (["r2"], ("r1",), 1)
    assert world.deployed == [2, 3, 2]


async def test_scaled_up_meanwhile_it_leaves_when_all_are_there() -> None:
    world = await drained()
    world.models.resize("m", 2, (), NOW)
    world.act()
    assert world.deployed == [1, 2, 3]
    world.report(gang("r2", nodes="AC"))
    assert set(world.targets) == {"r1", "r2"}
    world.report(gang("r3", nodes="AC"))
    assert (world.targets, world.model.leaving, world.model.desired) == (["r2", "r3"], ("r1",), 2)


async def test_size_that_is_asked_for_again_changes_nothing() -> None:
    world = await drained()
    world.models.resize("m", 1, (), NOW)
    world.act()
    assert (world.deployed, world.model.desired) == ([1, 2], 1)
    world.report(gang("r2", FAILED, "AC", info="out of memory"))
    assert (world.targets, world.deployed) == (["r1"], [1, 2, 1])


async def test_terminated_meanwhile() -> None:
    world = await drained()
    world.models.terminate("m")
    assert world.models.next_action("m", NOW) == Delete("m", forget=True)
    await world.step(1)
    world.models.on_application_deleted("m", NOW)
    await world.step(2)
    assert world.models.table().models == {}


async def test_terminated_while_ray_is_asked() -> None:
    world = World()
    world.report(gang())
    world.serve.drained = {"B"}
    checked: list[str] = []

    def check_room(wanted: ModelSpec, _: object) -> None:
        checked.append(wanted.uid)
        world.models.terminate("m")

    world.serve.check_room = check_room  # type: ignore[method-assign]
    await world.step()
    assert (checked, world.deployed, world.models.get("m").migrating) == (["m"], [1], None)


async def test_goes_to_sleep_meanwhile() -> None:
    world = await drained()
    world.models.drain("m")
    world.models.sleep("m")
    assert world.models.next_action("m", NOW) == Delete("m", forget=False)
    world.models.on_application_deleted("m", NOW)
    world.models.wake("m", NOW)
    assert world.models.next_action("m", NOW) == Deploy(world.model.spec)
    assert (world.model.spec.replicas, world.model.departing) == (1, 0)


async def test_nobody_asks_ray_without_gangs() -> None:
    world = World()
    world.models.get("m").spec = spec(workers=1)
    world.report(report())

    def draining() -> set[str]:
        raise AssertionError

    world.serve.draining = draining  # type: ignore[method-assign]
    await world.step()


async def test_autoscaling_sees_no_change() -> None:
    config = AutoscalingConfig(1, 1, target_ongoing_requests=2, upscale_delay_s=1, downscale_delay_s=1)
    world = await drained(autoscaling=config)
    signals = Signals()
    scaling = Scaling(world.models, signals, lambda _: None)
    notes: list[str] = []

    def live(seconds: int, **in_flight: int) -> None:
        for _ in range(seconds):
            world.now += 1
            load = SupervisorLoad(in_flight=sum(in_flight.values()), replicas=in_flight)
            signals.on_supervisor("s", world.models.version, {"m": load}, world.now)
            for target in world.model.targets:
                signals.on_engine("m", target.replica, EngineLoad(), world.now)
            notes.extend(change.note for change in scaling.step(world.now, world.now))

    live(5, r1=1)
    world.report(gang("r2", nodes="AC"))
    live(5, r1=1)
    assert not world.models.orders(gang()).leave, "it has a request"
    live(5)
    assert world.models.orders(gang()).leave
    world.report(gang("r1", STOPPED, updated_at=world.now))
    live(20)
    world.act()
    assert (notes, world.deployed) == ([""], [1, 2, 1])
    assert scaling.status("m", world.now).decisions == ()


async def test_new_registry_begins_again(tmp_path: Path) -> None:
    """It has no replica too many on disk, tells Serve so, and finds the drained node anew."""
    serve = DeployerDouble()
    serve.drained = {"B"}
    store = Store(tmp_path / "registry.sqlite")
    registry = Registry(EngineSettings(), serve, store)
    try:
        await registry.launch(spec(workers=2))
        await eventually(lambda: serve.calls == [("deploy", "m")])
        await registry.report(gang())
        await eventually(lambda: serve.calls == [("deploy", "m")] * 2)
    finally:
        await registry.stop()
    assert [kept.spec.replicas for kept in store.load()] == [1]

    again = Registry(EngineSettings(), serve, store)
    try:
        await eventually(lambda: serve.calls == [("deploy", "m")] * 3)
        await again.report(gang())
        await eventually(lambda: serve.calls == [("deploy", "m")] * 4)
        model = (await again.watch(0, 0.0)).models["m"]
        assert (model.desired, model.spec.replicas) == (1, 2)
    finally:
        await again.stop()
        store.close()
