"""Decisions become changes of models: growth as far as there is room, its failures, schedules of sleeping models, the status."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supervisor.registry.autoscaling.scaling import Change, Scaling
from supervisor.registry.autoscaling.signals import Signals, quantile_s
from supervisor.registry.models import Deploy, Models
from tests.supervisor.registry.states import NOW, READY, SLEEPING, models_in
from tests.supervisor.samples import report, spec
from xinfer.errors import LaunchRefused, Unavailable
from xinfer.messages import AutoscalingConfig, EngineLoad, ModelSpec, ReplicaStage, SupervisorLoad
from xinfer.messages.metrics import FIRST_TOKEN_BOUNDS_S, Histogram
from xinfer.schedules import parse_schedule

CONFIG = AutoscalingConfig(1, 4, target_ongoing_requests=2, upscale_delay_s=1, downscale_delay_s=5)


class Room:
    """GPUs, one for each replica."""

    def __init__(self, free: int = 100) -> None:
        self.free = free

    def check(self, wanted: ModelSpec) -> None:
        if wanted.replicas > self.free:
            raise LaunchRefused(f"{wanted.replicas} GPUs are asked for; {self.free} of them free.")


class World:
    """One model, one supervisor, and time."""

    def __init__(self, config: AutoscalingConfig = CONFIG, state: object = READY, free: int = 100) -> None:
        self.models: Models = models_in(state)  # type: ignore[arg-type]
        self.models.configure("m", config, None)
        self.room = Room(free)
        self.signals = Signals()
        self.scaling = Scaling(self.models, self.signals, self.room.check)
        self.now = 100.0
        self.changes: list[Change] = []

    def live(self, seconds: float, in_flight: int) -> None:
        """Let this load be there; replicas that are asked for come up at once."""
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            self.signals.on_supervisor("s", self.models.version, {"m": SupervisorLoad(in_flight=in_flight)}, self.now)
            for each in self.models.table().models["m"].targets:
                self.signals.on_engine("m", each.replica, EngineLoad(), self.now)
            self.changes += self.scaling.step(self.now, NOW + self.now)

    def come_up(self) -> None:
        step = self.models.next_action("m", NOW)
        assert isinstance(step, Deploy)
        for number in range(step.spec.replicas):
            self.models.report(report(f"r{number + 1}"))

    @property
    def desired(self) -> int:
        return self.scaling.status("m", NOW + self.now).desired

    @property
    def reasons(self) -> list[str]:
        return [decision.reason for decision in self.scaling.status("m", NOW + self.now).decisions]


def test_grows_and_says_why() -> None:
    world = World()
    world.live(2, in_flight=6)
    status = world.scaling.status("m", NOW)
    assert (status.desired, status.ready, status.starting) == (3, 1, 2)
    assert world.reasons == ["6 requests in flight, 2 per replica are the target"]
    assert [change.note for change in world.changes] == [
        "Autoscaling from 1 to 3 replicas: 6 requests in flight, 2 per replica are the target."
    ]
    world.come_up()
    world.live(7, in_flight=1)
    assert world.desired == 1
    assert len(world.models.table().models["m"].leaving) == 2


def test_grows_as_far_as_there_is_room() -> None:
    world = World(free=1)
    world.live(2, in_flight=8)
    assert world.desired == 2
    world.come_up()
    world.room.free = 0
    world.live(10, in_flight=8)
    status = world.scaling.status("m", NOW)
    assert "4 replicas are needed (8 requests in flight" in status.blocked
    assert "2 GPUs are asked for; 0 of them free." in status.blocked
    warnings = [change for change in world.changes if change.is_warning]
    assert len(warnings) == 1, "said once"
    world.room.free = 2
    world.live(2, in_flight=8)
    assert world.desired == 4
    assert world.scaling.status("m", NOW).blocked == ""


def test_replicas_that_do_not_come_up() -> None:
    world = World()
    world.live(2, in_flight=4)
    assert world.desired == 2
    world.models.next_action("m", NOW)
    world.models.report(report("r2", ReplicaStage.FAILED, info="no memory"))
    world.live(20, in_flight=4)
    assert world.desired == 1
    assert "no memory" in world.reasons[-1]
    world.live(20, in_flight=4)
    assert world.desired == 2


def test_last_ten_decisions() -> None:
    world = World()
    for _ in range(8):
        world.live(2, in_flight=4)
        world.scaling.by_hand("m", 1, NOW)
    assert len(world.reasons) == 10
    assert world.reasons[-1] == "asked for by hand"


def test_a_schedule_wakes_what_sleeps() -> None:
    config = AutoscalingConfig(0, 4, schedules=(parse_schedule("daily min=2"),))
    world = World(config, SLEEPING)
    world.live(0.5, in_flight=0)
    assert world.changes == [Change("m", "Woken by the schedule 'daily min=2'.", wakes=True)]
    world.live(9, in_flight=0)
    assert len(world.changes) == 1, "there may be no room; it is tried again after a while"
    world.live(2, in_flight=0)
    assert len(world.changes) == 2
    assert world.scaling.kept_awake(NOW) == {"m"}
    assert world.scaling.replicas_to_wake(world.models.get("m").spec, NOW) == 2
    assert World(AutoscalingConfig(0, 4), SLEEPING).scaling.kept_awake(NOW) == set()


def test_other_settings_take_effect_and_the_decisions_stay() -> None:
    world = World()
    world.live(2, in_flight=4)
    world.models.configure("m", AutoscalingConfig(3, 4), None)
    world.live(0.5, in_flight=0)
    assert world.desired == 3
    assert world.reasons[-1] == "at least 3"
    assert len(world.reasons) == 2
    world.models.configure("m", None, None)
    world.live(0.5, in_flight=0)
    assert world.scaling.status("m", NOW).decisions == ()


def test_supervisor_that_is_gone_is_forgotten() -> None:
    world = World()
    world.signals.hear("lost", world.now)
    world.live(2, in_flight=0)
    model = world.models.table().models["m"]
    assert world.signals.load(model, world.now).is_whole is False
    world.live(16, in_flight=0)
    assert world.signals.load(model, world.now).is_whole


def test_p90_of_the_last_seconds() -> None:
    world = World(AutoscalingConfig(1, 4, target_ttft_s=0.5))
    histogram = Histogram(FIRST_TOKEN_BOUNDS_S)
    for seconds in [20.0] * 50:
        histogram.observe(seconds)
    old = tuple(histogram.counts)
    for seconds in [0.2] * 80 + [0.4] * 20:
        histogram.observe(seconds)
    for at, counts in ((0.0, (0,) * len(old)), (11.0, old), (14.0, tuple(histogram.counts))):
        world.signals.on_supervisor("s", 1, {"m": SupervisorLoad(first_tokens=counts)}, at)
    found = world.signals.load(world.models.table().models["m"], 14.0).ttft_p90_s
    assert found == pytest.approx(0.375)
    assert quantile_s([0] * len(old), 0.9) is None
    assert quantile_s([*[0] * (len(old) - 1), 5], 0.9) == FIRST_TOKEN_BOUNDS_S[-1]


def test_signals_of_engines_and_refusals() -> None:
    world = World()
    model = world.models.table().models["m"]
    for at, arrived, refused in ((0.0, 0, 0), (0.5, 4, 0), (1.0, 10, 3)):
        load = SupervisorLoad(in_flight=7, arrived=arrived, refused=refused, oldest_unanswered_s=0.9)
        world.signals.on_supervisor("s", 1, {"m": load}, at)
    world.signals.on_engine("m", "r1", EngineLoad(4, 2, 0.6), 1.0)
    world.signals.load(model, 1.0)
    found = world.signals.load(model, 1.4)
    assert (found.in_flight, found.running, found.waiting, found.full, found.running_in_full) == (7, 4, 5, 1, 4)
    assert found.arrivals_per_s == pytest.approx(10)
    assert found.oldest_wait_s == pytest.approx(0.4)
    assert found.is_whole
    assert not world.signals.load(model, 8.0).is_whole


def test_spec_keeps_its_settings_through_a_change_of_size() -> None:
    world = World()
    world.live(2, in_flight=4)
    step = world.models.next_action("m", NOW)
    assert step == Deploy(spec(replicas=2, autoscaling=CONFIG))


def test_models_share_gpus_by_weight() -> None:
    """The heavier one gets three of four, whoever came first, and then nothing changes any more."""
    world = World(replace(CONFIG, priority=1.0), free=0)
    world.models.add(spec("heavy", gpus=1, autoscaling=replace(CONFIG, priority=3.0)))
    world.models.next_action("heavy", NOW)
    world.models.report(report("h1", uid="heavy"))
    world.models.get("m").spec = spec(gpus=1, replicas=3, autoscaling=CONFIG)
    for number in (2, 3):
        world.models.report(report(f"r{number}"))
    sizes = []
    for _ in range(120):
        world.now += 0.5
        loads = {uid: SupervisorLoad(in_flight=20) for uid in ("m", "heavy")}
        world.signals.on_supervisor("s", world.models.version, loads, world.now)
        world.scaling.step(world.now, NOW + world.now)
        for uid in ("m", "heavy"):
            record = world.models.get(uid)
            for replica in list(record.leaving):
                # It has nothing to finish, and Serve knows at once.
                world.models.report(report(replica, ReplicaStage.STOPPED, uid))
                world.models.forget_left(uid)
                world.room.free += 1
            for number in range(record.desired - record.ready_replicas):
                world.room.free -= 1
                world.models.report(report(f"{uid}-{world.now}-{number}", uid=uid))
        sizes.append((world.models.get("m").desired, world.models.get("heavy").desired))
    assert sizes[-1] == (1, 3)
    assert sizes[20:] == [(1, 3)] * 100
    reasons = [decision.reason for decision in world.scaling.status("m", NOW).decisions]
    assert any("as its share by weight" in reason for reason in reasons)


def test_new_registry_removes_nothing_before_it_knows_all_replicas() -> None:
    world = World(replace(CONFIG, downscale_delay_s=1))
    world.models.scale("m", 2)
    record = world.models.get("m")
    record.restored = True
    world.live(10, in_flight=0)
    assert world.desired == 2
    with pytest.raises(Unavailable):
        world.scaling.by_hand("m", 1, NOW)
    world.models.report(report("r2"))
    assert not record.restored
    world.live(10, in_flight=0)
    assert world.desired == 1
