"""The life of models: which moves there are, what reports do, what is to be done, and what holds after any sequence of events."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from supervisor.registry.models import Delete, Deploy, Models
from supervisor.registry.record import InvalidTransition, Record
from tests.supervisor.samples import report, spec, times
from xinfer.errors import Conflict, ModelNotFound
from xinfer.messages import ModelState, ReplicaStage

PENDING, LAUNCHING, READY, DRAINING, SLEEPING, FAILED, CANCELLED, TERMINATING = ModelState
NOW = 100.0


def models_in(state: ModelState) -> Models:
    """One model ``m`` in this state, with nothing left to do."""
    models = Models(version=0)
    models.add(spec())
    if state is PENDING:
        return models
    assert models.next_action("m", NOW) == Deploy(spec())
    if state is CANCELLED:
        models.cancel("m")
        models.on_application_deleted("m", NOW)
    elif state is FAILED:
        models.report(report("r1", ReplicaStage.FAILED, info="out of memory"))
        models.on_application_deleted("m", NOW)
    elif state is TERMINATING:
        models.terminate("m")
    elif state in (READY, DRAINING, SLEEPING):
        models.report(report())
    if state in (DRAINING, SLEEPING):
        models.drain("m")
    if state is SLEEPING:
        models.sleep("m")
        assert models.next_action("m", NOW) == Delete("m", forget=False)
        models.on_application_deleted("m", NOW)
    assert models.get("m").state is state
    return models


LEGAL = {
    PENDING: {LAUNCHING, FAILED, TERMINATING},
    LAUNCHING: {READY, FAILED, TERMINATING},
    READY: {LAUNCHING, DRAINING, FAILED, TERMINATING},
    DRAINING: {SLEEPING, READY, LAUNCHING, FAILED, TERMINATING},
    SLEEPING: {LAUNCHING, FAILED, TERMINATING},
    FAILED: {TERMINATING},
    CANCELLED: {TERMINATING},
    TERMINATING: {CANCELLED},
}
MOVES = [(start, target) for start in ModelState for target in ModelState if start is not target]


@pytest.mark.parametrize(("start", "target"), MOVES)
def test_moves(start: ModelState, target: ModelState) -> None:
    record = Record(spec(), history=[PENDING, start])
    if target in LEGAL[start]:
        record.move(target, "because")
        assert (record.state, record.reason, record.history) == (target, "because", [PENDING, start, target])
    else:
        with pytest.raises(InvalidTransition) as caught:
            record.move(target)
        assert str(caught.value) == f"model 'm': PENDING -> {start} does not lead to {target}"
        assert record.history == [PENDING, start]


# Launches, cancelled and terminated.


@pytest.mark.parametrize("state", [PENDING, LAUNCHING, READY, DRAINING, SLEEPING, TERMINATING])
def test_uid_in_use_is_a_conflict_that_says_what_to_do(state: ModelState) -> None:
    models = models_in(state)
    before = models.table()
    with pytest.raises(Conflict) as caught:
        models.add(spec(name="other"))
    message = caught.value.message
    assert f"'m' is in use ({state.lower()})" in message
    assert "--model-uid" in message
    assert "`xinfer terminate m`" in message
    assert models.table() == before


@pytest.mark.parametrize("state", [FAILED, CANCELLED])
def test_uid_of_a_launch_that_is_over_is_free_again(state: ModelState) -> None:
    models = models_in(state)
    models.add(spec(name="second"))
    record = models.get("m")
    assert (record.spec.name, record.history, record.reason, record.failures) == ("second", [PENDING], "", 0)
    assert models.next_action("m", NOW) == Deploy(spec(name="second"))


def test_unknown_uid() -> None:
    models = Models(version=0)
    with pytest.raises(ModelNotFound, match="xinfer list"):
        models.get("ghost")
    for call in (models.terminate, models.cancel, models.drain, models.sleep):
        with pytest.raises(ModelNotFound):
            call("ghost")
    models.on_application_deleted("ghost", NOW)
    models.lost("ghost", "r1", NOW)
    models.report(report(uid="ghost"))
    models.deploy_failed(spec("ghost"), NOW)
    assert models.next_action("ghost", NOW) is None
    assert models.version == 0


@pytest.mark.parametrize("state", [PENDING, LAUNCHING])
def test_cancelled_launch_is_taken_down_and_kept(state: ModelState) -> None:
    models = models_in(state)
    models.cancel("m")
    models.cancel("m")
    assert models.get("m").state is TERMINATING
    assert models.next_action("m", NOW) == Delete("m", forget=True)
    models.on_application_deleted("m", NOW + 1)
    route = models.table().models["m"]
    assert (route.state, route.reason, route.replicas) == (CANCELLED, "The launch was cancelled.", ())
    assert route.times[-1] == times(cancelled=NOW + 1)[0]
    assert models.next_action("m", NOW) is None
    models.cancel("m")
    assert models.get("m").state is CANCELLED


@pytest.mark.parametrize("state", [READY, DRAINING, SLEEPING])
def test_what_is_up_is_not_cancelled(state: ModelState) -> None:
    models = models_in(state)
    with pytest.raises(Conflict, match="is up; terminate it instead"):
        models.cancel("m")
    assert models.get("m").state is state


def test_success_after_the_cancellation_is_none() -> None:
    models = models_in(LAUNCHING)
    models.cancel("m")
    models.report(report())
    assert models.get("m").state is TERMINATING
    models.on_application_deleted("m", NOW)
    models.report(report("r2"))
    assert (models.get("m").state, models.table().models["m"].targets) == (CANCELLED, ())


def test_cancel_does_not_undo_a_termination_nor_a_failure() -> None:
    models = models_in(TERMINATING)
    models.cancel("m")
    models.on_application_deleted("m", NOW)
    assert models.table().models == {}
    failing = models_in(LAUNCHING)
    failing.report(report("r1", ReplicaStage.FAILED, info="out of memory"))
    failing.cancel("m")
    failing.on_application_deleted("m", NOW)
    assert failing.get("m").state is FAILED


@pytest.mark.parametrize("state", list(ModelState))
def test_terminated_from_anywhere_nothing_is_left(state: ModelState) -> None:
    models = models_in(state)
    models.terminate("m")
    models.terminate("m")
    assert models.next_action("m", NOW) == Delete("m", forget=True)
    models.on_application_deleted("m", NOW)
    assert models.table().models == {}
    assert models.next_action("m", NOW) is None


def test_terminate_wins_over_a_cancellation_under_way() -> None:
    models = models_in(LAUNCHING)
    models.cancel("m")
    models.terminate("m")
    models.on_application_deleted("m", NOW)
    assert models.table().models == {}


def test_latest_hundred_launches_that_are_over_are_kept() -> None:
    models = Models(version=0)
    for number in range(120):
        models.add(spec(f"m{number}"))
        models.cancel(f"m{number}")
        models.on_application_deleted(f"m{number}", NOW)
    models.add(spec("m30"))
    assert sorted(models.table().models) == sorted(f"m{number}" for number in range(20, 120))
    models.add(spec("last"))
    models.cancel("last")
    models.on_application_deleted("last", NOW)
    assert len(models.table().models) == 101, "one of them is no longer over"
    assert "m20" in models.table().models


def test_gpus_of_models_that_are_over_or_asleep_are_free() -> None:
    models = Models(version=0)
    models.add(spec("a", gpus=2, replicas=2))
    models.add(spec("b", gpus=0.5))
    models.asleep(spec("c", gpus=8))
    assert models.gpus_wanted() == 4.5
    models.cancel("a")
    assert models.gpus_wanted() == 4.5
    models.on_application_deleted("a", NOW)
    assert models.gpus_wanted() == 0.5
    models.terminate("b")
    models.on_application_deleted("b", NOW)
    assert models.gpus_wanted() == 0


# What is to be done.


def test_deployment_is_begun_once() -> None:
    models = models_in(PENDING)
    assert models.next_action("m", NOW) == Deploy(spec())
    assert models.get("m").state is LAUNCHING
    assert models.next_action("m", NOW) is None
    models.report(report())
    assert models.next_action("m", NOW) is None


def test_what_a_restart_finds() -> None:
    """Models that run are left alone; the remains of others are taken down first."""
    models = Models(version=0)
    for uid in ("runs", "failed", "absent"):
        models.add(spec(uid))
    models.asleep(spec("asleep"))
    models.report(report(uid="runs"))
    models.found("runs", NOW, alive=True)
    models.found("failed", NOW, alive=False)
    models.found("asleep", NOW, alive=True)
    models.found("stranger", NOW, alive=True)
    assert models.get("runs").state is READY
    assert models.next_action("runs", NOW) is None
    assert [r.replica for r in models.table().models["runs"].targets] == ["r1"]
    assert models.next_action("absent", NOW) == Deploy(spec("absent"))
    for uid in ("failed", "asleep", "stranger"):
        assert models.next_action(uid, NOW) == Delete(uid, forget=False)
        models.on_application_deleted(uid, NOW)
    assert models.next_action("failed", NOW) == Deploy(spec("failed"))
    assert models.next_action("asleep", NOW) is None
    assert models.get("asleep").state is SLEEPING
    assert models.next_action("stranger", NOW) is None


def test_launch_waits_for_the_end_of_what_had_its_uid() -> None:
    models = Models(version=0)
    models.found("m", NOW, alive=True)
    assert models.next_action("m", NOW) == Delete("m", forget=False)
    models.add(spec())
    assert models.next_action("m", NOW) == Delete("m", forget=False)
    assert models.get("m").state is PENDING
    models.on_application_deleted("m", NOW)
    assert models.next_action("m", NOW) == Deploy(spec())


def test_start_that_serve_gives_up_without_a_report() -> None:
    models = models_in(LAUNCHING)
    models.deploy_failed(spec(), NOW)
    assert models.next_action("m", NOW) == Delete("m", forget=True)
    models.on_application_deleted("m", NOW)
    record = models.get("m")
    assert (record.state, "log of the replica" in record.reason) == (FAILED, True)


def test_another_try_is_for_engines_that_were_good_once() -> None:
    """An engine may answer and die before Serve has seen it up: that is a death, not a start that cannot work."""
    models = models_in(READY)
    for number in range(3):
        models.report(report(f"r{number}", ReplicaStage.STOPPED))
        models.deploy_failed(spec(), NOW)
        assert models.next_action("m", NOW) == Delete("m", forget=False)
        models.on_application_deleted("m", NOW)
        assert models.next_action("m", NOW) == Deploy(spec())
    models.deploy_failed(spec(), NOW)
    assert models.next_action("m", NOW) == Delete("m", forget=True)


def test_news_of_an_older_application_mean_nothing() -> None:
    models = models_in(LAUNCHING)
    models.deploy_failed(spec(created_at=1.0), NOW)
    assert models.next_action("m", NOW) is None
    over = models_in(CANCELLED)
    over.deploy_failed(spec(), NOW)
    assert over.next_action("m", NOW) is None
    assert over.get("m").state is CANCELLED


# What replicas report.


def test_ready_report_makes_the_model_ready_and_routable() -> None:
    models = models_in(LAUNCHING)
    models.report(report("r1", ReplicaStage.LOADING))
    assert models.get("m").state is LAUNCHING
    assert models.table().models["m"].targets == ()
    models.report(report("r1"))
    assert models.get("m").state is READY
    assert [r.replica for r in models.table().models["m"].targets] == ["r1"]


def test_failure_before_ready_gives_up_at_once() -> None:
    models = models_in(LAUNCHING)
    models.report(report("r1", ReplicaStage.FAILED, info="out of memory"))
    assert models.get("m").state is LAUNCHING, "until it is cleaned up"
    assert models.next_action("m", NOW) == Delete("m", forget=True)
    models.report(report("r2", ReplicaStage.FAILED, info="another"))
    models.on_application_deleted("m", NOW)
    record = models.get("m")
    assert (record.state, record.reason, record.replicas) == (FAILED, "out of memory", {})
    assert models.table().models["m"].ended is not None


def test_failures_after_ready_give_up_at_the_third_in_a_row() -> None:
    models = models_in(READY)
    for number, info in enumerate(("one", "two")):
        models.report(report(f"r{number}", ReplicaStage.FAILED, info=info))
        assert models.next_action("m", NOW) is None
        assert (models.get("m").state, models.get("m").reason) == (READY if number == 0 else LAUNCHING, info)
        models.lost("m", "r1", NOW)
    models.report(report("r3", ReplicaStage.FAILED, info="three"))
    assert models.next_action("m", NOW) == Delete("m", forget=True)


def test_a_ready_replica_starts_the_count_again() -> None:
    models = models_in(READY)
    for number in range(10):
        models.report(report(f"r{number}", ReplicaStage.FAILED))
        models.report(report(f"s{number}"))
        models.report(report(f"s{number}", ReplicaStage.FAILED))
        models.report(report(f"t{number}"))
        assert models.next_action("m", NOW) is None
    assert models.get("m").state is READY


def test_one_of_two_replicas_may_fail_and_the_model_stays_ready() -> None:
    models = models_in(READY)
    models.report(report("r2"))
    models.report(report("r1", ReplicaStage.FAILED))
    assert models.get("m").state is READY
    assert models.next_action("m", NOW) is None
    assert [r.replica for r in models.table().models["m"].targets] == ["r2"]


@pytest.mark.parametrize("state", [LAUNCHING, READY, TERMINATING])
def test_stopping_is_no_failure(state: ModelState) -> None:
    models = models_in(state)
    for number in range(5):
        models.report(report(f"x{number}", ReplicaStage.STOPPED))
    assert models.get("m").failures == 0
    assert models.get("m").state is state


@pytest.mark.parametrize("end", [ReplicaStage.STOPPED, ReplicaStage.FAILED])
def test_replica_that_has_ended_is_not_believed_any_more(end: ReplicaStage) -> None:
    models = models_in(READY)
    models.report(report("r1", end))
    before = models.table()
    models.report(report("r1"))
    models.report(report("r1", end))
    assert models.table() == before


@pytest.mark.parametrize("state", [FAILED, CANCELLED])
def test_report_to_a_launch_that_is_over_is_ignored(state: ModelState) -> None:
    models = models_in(state)
    before = models.table()
    models.report(report("late"))
    assert models.table() == before


def test_lost_replica_comes_back_with_its_next_report() -> None:
    models = models_in(READY)
    models.lost("m", "r1", NOW)
    assert models.get("m").state is LAUNCHING
    version = models.version
    models.lost("m", "r1", NOW)
    assert models.version == version
    models.report(report("r1"))
    assert models.get("m").state is READY


def test_silent_replicas_expire_unless_on_their_way_up() -> None:
    models = models_in(LAUNCHING)
    models.report(report("old", updated_at=10))
    models.report(report("new", updated_at=20))
    models.report(report("loading", ReplicaStage.LOADING, updated_at=1))
    models.expire(20, NOW)
    assert sorted(models.get("m").replicas) == ["loading", "new"]
    models.expire(21, NOW)
    assert sorted(models.get("m").replicas) == ["loading"]
    assert models.get("m").state is LAUNCHING


def test_version_grows_on_visible_change_only() -> None:
    models = models_in(READY)
    version = models.version
    models.report(report("r1", updated_at=5))
    models.expire(5, NOW)
    assert models.version == version
    assert models.get("m").replicas["r1"].updated_at == 5
    models.report(report("r1", updated_at=6, context_length=128))
    assert models.version == version + 1


# Times.


def test_times_of_a_launch() -> None:
    models = Models(version=0)
    models.add(spec(created_at=10, replicas=2))
    models.next_action("m", 11)
    models.report(report("r1", updated_at=12))
    assert models.table().models["m"].times == times(pending=10, placing=11)
    models.report(report("r2", updated_at=13))
    models.lost("m", "r2", 14)
    models.report(report("r2", updated_at=15))
    assert models.table().models["m"].times == times(pending=10, placing=11, ready=13)


def test_ready_is_when_the_replica_was_not_when_a_new_registry_heard_of_it() -> None:
    models = Models(version=0)
    models.add(spec(created_at=10))
    models.found("m", 500, alive=True)
    models.report(report(times=times(starting=11, ready=12), updated_at=505))
    assert models.table().models["m"].times == times(pending=10, ready=12)


def test_times_of_a_launch_that_fails_and_of_one_cancelled() -> None:
    failing = Models(version=0)
    failing.add(spec(created_at=10))
    failing.next_action("m", 11)
    failing.report(report("r1", ReplicaStage.FAILED))
    failing.on_application_deleted("m", 12)
    assert failing.table().models["m"].times == times(pending=10, placing=11, failed=12)
    pending = Models(version=0)
    pending.add(spec(created_at=10))
    pending.cancel("m")
    pending.on_application_deleted("m", 11)
    assert pending.table().models["m"].times == times(pending=10, cancelled=11)


# Scaling.


def test_scaled_model_is_told_to_serve_and_what_runs_stays() -> None:
    models = models_in(READY)
    models.scale("m", 3)
    assert models.next_action("m", NOW) == Deploy(spec(replicas=3))
    assert models.next_action("m", NOW) is None
    route = models.table().models["m"]
    assert (route.state, route.spec.replicas, len(route.targets), route.is_complete) == (READY, 3, 1, False)
    models.report(report("r2"))
    models.report(report("r3"))
    assert models.table().models["m"].is_complete
    models.scale("m", 1)
    assert models.next_action("m", NOW) == Deploy(spec(replicas=1))


@pytest.mark.parametrize("state", [each for each in ModelState if each is not READY])
def test_only_a_model_that_is_up_is_scaled(state: ModelState) -> None:
    models = models_in(state)
    before = models.table()
    with pytest.raises(Conflict, match="not up"):
        models.scale("m", 2)
    assert models.table() == before


def test_scaling_that_fails_goes_back_and_says_why() -> None:
    models = models_in(READY)
    models.scale("m", 3)
    models.next_action("m", NOW)
    models.report(report("r2"))
    models.report(report("r3", ReplicaStage.FAILED, info="out of memory"))
    assert models.next_action("m", NOW) == Deploy(spec(replicas=1))
    route = models.table().models["m"]
    assert (route.state, route.spec.replicas) == (READY, 1)
    assert "out of memory" in route.reason
    models.report(report("r1", updated_at=9))
    assert "out of memory" in models.table().models["m"].reason


def test_death_of_an_old_replica_while_scaling_does_not_end_it() -> None:
    models = models_in(READY)
    models.scale("m", 2)
    models.next_action("m", NOW)
    models.report(report("r1", ReplicaStage.FAILED, info="killed"))
    assert models.get("m").spec.replicas == 2
    assert models.next_action("m", NOW) is None


# Sleep.


def test_draining_all_is_still_there() -> None:
    models = models_in(READY)
    models.drain("m")
    route = models.table().models["m"]
    assert (route.state, [r.replica for r in route.replicas]) == (DRAINING, ["r1"])
    assert models.next_action("m", NOW) is None
    assert Record(spec(gpus=1), history=[DRAINING]).holds_resources


@pytest.mark.parametrize("call", ["wake", "resume"])
def test_draining_model_is_up_again_at_once(call: str) -> None:
    models = models_in(READY)
    models.drain("m")
    getattr(models, call)("m", NOW)
    route = models.table().models["m"]
    assert (route.state, route.waking, len(route.targets)) == (READY, False, 1)
    assert models.next_action("m", NOW) is None
    models.sleep("m")
    assert models.get("m").state is READY, "it does not drain any more"


def test_draining_model_whose_replica_dies_is_launched_again_when_resumed() -> None:
    models = models_in(READY)
    models.drain("m")
    models.report(report("r1", ReplicaStage.FAILED))
    models.resume("m", NOW)
    assert models.get("m").state is LAUNCHING


def test_asleep_nothing_is_left_and_late_reports_do_not_wake_it() -> None:
    models = models_in(SLEEPING)
    models.report(report("r1"))
    models.report(report("r2"))
    route = models.table().models["m"]
    assert (route.state, route.replicas) == (SLEEPING, ())
    assert models.next_action("m", NOW) is None


def test_wake() -> None:
    models = models_in(SLEEPING)
    models.wake("m", 200)
    version = models.version
    models.wake("m", 201)
    assert models.version == version
    assert models.table().models["m"].waking
    assert models.next_action("m", 202) == Deploy(spec())
    assert models.table().models["m"].state is LAUNCHING
    models.report(report("r2", updated_at=203))
    route = models.table().models["m"]
    assert (route.state, route.waking) == (READY, False)
    assert route.times == times(pending=200, placing=202, ready=203)


def test_wake_while_it_is_being_deleted_waits_for_the_end_of_that() -> None:
    models = models_in(READY)
    models.drain("m")
    models.sleep("m")
    models.wake("m", NOW)
    assert models.next_action("m", NOW) == Delete("m", forget=False)
    models.report(report("r1"))
    assert models.get("m").state is LAUNCHING, "that replica is on its way out"
    models.on_application_deleted("m", NOW)
    assert models.next_action("m", NOW) == Deploy(spec())


def test_wake_that_fails_is_tried_thrice() -> None:
    models = models_in(SLEEPING)
    models.wake("m", NOW)
    for number in range(3):
        assert models.next_action("m", NOW) == Deploy(spec())
        models.report(report(f"w{number}", ReplicaStage.FAILED, info="no memory"))
        models.deploy_failed(spec(), NOW)
        models.next_action("m", NOW)
        models.on_application_deleted("m", NOW)
    route = models.table().models["m"]
    assert (route.state, route.reason, route.waking) == (FAILED, "no memory", False)


@pytest.mark.parametrize("state", [each for each in ModelState if each not in (DRAINING, SLEEPING)])
def test_what_does_not_sleep_is_not_woken(state: ModelState) -> None:
    models = models_in(state)
    before = models.table()
    models.wake("m", NOW)
    assert models.table() == before


UIDS = st.sampled_from(["a", "b"])
REPLICAS = st.sampled_from(["r1", "r2", "r3", "r4"])


class AnyLife(RuleBasedStateMachine):
    """Everything that may happen to two models, in any order, with a Serve that does as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.models = Models(version=0)
        self.seen = self.models.table()
        self.launches = 0
        self.owner: dict[str, str] = {}
        self.serve: dict[str, object] = {}

    def state(self, uid: str) -> ModelState | None:
        return self.models.get(uid).state if uid in self.owner else None

    @rule(uid=UIDS)
    def launch(self, uid: str) -> None:
        self.launches += 1
        name = f"launch-{self.launches}"
        free = self.state(uid) in (None, FAILED, CANCELLED)
        try:
            self.models.add(spec(uid, name=name))
        except Conflict:
            assert not free
        else:
            assert free
            self.owner[uid] = name

    @rule(uid=UIDS, call=st.sampled_from(["terminate", "cancel", "drain", "sleep"]))
    def order(self, uid: str, call: str) -> None:
        try:
            getattr(self.models, call)(uid)
        except ModelNotFound:
            assert uid not in self.owner
        except Conflict:
            assert call == "cancel"
            assert self.state(uid) in (READY, DRAINING, SLEEPING)
        except InvalidTransition:
            assert call == "drain"
            assert self.state(uid) is not READY

    @rule(uid=UIDS, replicas=st.integers(1, 3))
    def scale(self, uid: str, replicas: int) -> None:
        try:
            self.models.scale(uid, replicas)
        except (ModelNotFound, Conflict):
            assert self.state(uid) is not READY or self.models.get(uid).end

    @rule(uid=UIDS, call=st.sampled_from(["wake", "resume"]))
    def wake(self, uid: str, call: str) -> None:
        if uid in self.owner:
            getattr(self.models, call)(uid, NOW)

    @rule(uid=UIDS)
    def step(self, uid: str) -> None:
        match self.models.next_action(uid, NOW):
            case Deploy(wanted):
                there = self.serve.get(uid)
                assert there is None or there.name == wanted.name, "never over what is not its own"  # type: ignore[attr-defined]
                self.serve[uid] = wanted
            case Delete():
                self.serve.pop(uid, None)
                self.models.on_application_deleted(uid, NOW)
                if uid not in self.models.table().models:
                    self.owner.pop(uid, None)

    @rule(uid=UIDS)
    def serve_gives_up(self, uid: str) -> None:
        if uid in self.serve:
            self.models.deploy_failed(self.serve[uid], NOW)  # type: ignore[arg-type]

    @rule(uid=UIDS, replica=REPLICAS, stage=st.sampled_from(ReplicaStage), at=st.integers(0, 9))
    def report(self, uid: str, replica: str, stage: ReplicaStage, at: int) -> None:
        self.models.report(report(f"{self.owner.get(uid)}-{replica}", stage, uid, updated_at=at))

    @rule(uid=UIDS, replica=REPLICAS)
    def lose(self, uid: str, replica: str) -> None:
        self.models.lost(uid, f"{self.owner.get(uid)}-{replica}", NOW)

    @rule(oldest=st.integers(0, 9))
    def expire(self, oldest: int) -> None:
        self.models.expire(oldest, NOW)

    @invariant()
    def one_owner_per_uid(self) -> None:
        assert {uid: each.spec.name for uid, each in self.models.table().models.items()} == self.owner

    @invariant()
    def ready_means_that_some_replica_takes_requests(self) -> None:
        for each in self.models.table().models.values():
            if each.state in (LAUNCHING, READY):
                assert (each.state is READY) == bool(each.targets)

    @invariant()
    def waking_means_on_its_way_up(self) -> None:
        for each in self.models.table().models.values():
            assert not each.waking or each.state is LAUNCHING

    @invariant()
    def version_grows_with_what_can_be_seen(self) -> None:
        now = self.models.table()
        assert now.version >= self.seen.version
        if _routable(now.models) != _routable(self.seen.models):
            assert now.version > self.seen.version
        self.seen = now

    def teardown(self) -> None:
        """Left alone, everything comes to rest: what is wanted is there, and nothing else."""
        for uid in ("a", "b"):
            for _ in range(10):
                self.step(uid)
            assert self.models.next_action(uid, NOW) is None
            route = self.models.table().models.get(uid)
            wanted = route is not None and self.models.get(uid).is_wanted
            assert self.serve.get(uid) == (route.spec if route and wanted else None)
            assert route is None or self.models.get(uid).end is None


def _routable(routes: dict) -> dict:
    return {uid: (each.spec, each.state, {r.replica for r in each.targets}) for uid, each in routes.items()}


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


@given(st.lists(st.tuples(REPLICAS, st.sampled_from(ReplicaStage)), max_size=30))
@settings(max_examples=40, deadline=None)
def test_a_launch_given_up_is_not_ready_again(reports: list[tuple[str, ReplicaStage]]) -> None:
    models = models_in(LAUNCHING)
    given_up = False
    for replica, stage in reports:
        was = models.get("m").state
        models.report(report(replica, stage))
        assert not given_up or models.get("m").state in (was, LAUNCHING)
        given_up = models.get("m").end is not None
