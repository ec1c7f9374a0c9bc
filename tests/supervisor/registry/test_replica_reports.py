"""What the reports of replicas make of their model, and the times of its stages."""

from __future__ import annotations

import pytest

from supervisor.registry.models import Delete, Models
from tests.supervisor.registry.states import (
    CANCELLED,
    FAILED,
    LAUNCHING,
    NOW,
    READY,
    TERMINATING,
    models_in,
)
from tests.supervisor.samples import report, spec, times
from xinfer.messages import ModelState, ReplicaStage

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
