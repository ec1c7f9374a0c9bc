"""The life of models: which moves there are, launches, their cancellation and termination, and what is to be done."""

from __future__ import annotations

import pytest

from supervisor.registry.models import Delete, Deploy, Models
from supervisor.registry.record import InvalidTransition, Record
from tests.supervisor.registry.states import (
    CANCELLED,
    DRAINING,
    FAILED,
    LAUNCHING,
    NOW,
    PENDING,
    READY,
    SLEEPING,
    TERMINATING,
    models_in,
)
from tests.supervisor.samples import report, spec, times
from xinfer.errors import Conflict, ModelNotFound
from xinfer.messages import ModelState, ReplicaStage

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


def test_another_try_is_for_models_of_the_registry_before() -> None:
    """It does not know whether they were up: Serve may have given up on what was being added when it ended."""
    models = Models(version=0)
    models.restore(spec())
    models.found("m", NOW, alive=True)
    models.deploy_failed(spec(), NOW)
    assert models.next_action("m", NOW) == Delete("m", forget=False)
    models.on_application_deleted("m", NOW)
    assert models.next_action("m", NOW) == Deploy(spec())
    models.deploy_failed(spec(), NOW)
    assert models.next_action("m", NOW) == Delete("m", forget=True), "it is a launch of this registry by now"


def test_news_of_an_older_application_mean_nothing() -> None:
    models = models_in(LAUNCHING)
    models.deploy_failed(spec(created_at=1.0), NOW)
    assert models.next_action("m", NOW) is None
    over = models_in(CANCELLED)
    over.deploy_failed(spec(), NOW)
    assert over.next_action("m", NOW) is None
    assert over.get("m").state is CANCELLED


# What supervisors are sent.


def test_only_what_has_changed_is_sent() -> None:
    models = models_in(READY)
    models.add(spec("other"))
    before = models.table()
    models.report(report("r2"))
    changes = models.table(since=before.version)
    assert (set(changes.models), changes.since, changes.gone) == ({"m"}, before.version, ())
    assert changes.applied_to(before) == models.table()
    assert models.table(since=models.version).models == {}


def test_models_that_are_gone_are_named_unless_they_are_back() -> None:
    models = models_in(READY)
    models.add(spec("other"))
    before = models.table()
    for uid in ("m", "other"):
        models.terminate(uid)
        models.on_application_deleted(uid, NOW)
    models.add(spec("other", created_at=NOW))
    changes = models.table(since=before.version)
    assert (set(changes.models), changes.gone) == ({"other"}, ("m",))
    assert changes.applied_to(before) == models.table()


def test_who_knows_another_registry_s_table_or_one_too_old_gets_all() -> None:
    models = Models(version=100)
    models.add(spec("m"))
    for version in (0, 99, 10_000):
        assert models.table(since=version).since is None
    for number in range(1_001):
        models.add(spec(f"m{number}"))
        models.terminate(f"m{number}")
        models.on_application_deleted(f"m{number}", NOW)
    assert models.table(since=101).since is None
    assert models.table(since=models.version - 10).since is not None


# Launches that wait for a node.


def waiting() -> Models:
    """A model that Serve has been told of, with no node for it."""
    models = Models(version=0)
    models.add(spec(wait_for_capacity=True, created_at=1.0))
    assert models.next_action("m", NOW) == Deploy(spec(wait_for_capacity=True, created_at=1.0))
    assert models.next_action("m", NOW) is None
    return models


def test_launch_is_pending_until_a_replica_has_a_place() -> None:
    models = waiting()
    assert models.get("m").state is PENDING
    placed = times(placing=90.0)
    models.report(report("r1", ReplicaStage.PLACING, times=placed, updated_at=91.0))
    record = models.get("m")
    assert record.state is LAUNCHING
    assert record.times == list(times(pending=1.0, placing=90.0))
    models.report(report())
    assert models.get("m").state is READY


def test_waiting_launch_ends_like_any_other() -> None:
    models = waiting()
    models.cancel("m")
    assert models.next_action("m", NOW) == Delete("m", forget=True)
    models.on_application_deleted("m", NOW)
    assert models.get("m").state is CANCELLED

    models = waiting()
    models.report(report("r1", ReplicaStage.FAILED, info="out of memory"))
    models.on_application_deleted("m", NOW)
    assert (models.get("m").state, models.get("m").reason) == (FAILED, "out of memory")


def test_waiting_launch_goes_on_after_a_restart() -> None:
    models = Models(version=0)
    models.restore(spec(wait_for_capacity=True))
    models.found("m", NOW, alive=True)
    assert (models.get("m").state, models.next_action("m", NOW)) == (PENDING, None)
    models.report(report())
    assert models.get("m").state is READY
