"""Models whose number of replicas changes, that sleep, and that wake."""

from __future__ import annotations

import pytest

from supervisor.registry.models import Delete, Deploy
from tests.supervisor.registry.states import (
    DRAINING,
    FAILED,
    LAUNCHING,
    NOW,
    READY,
    SLEEPING,
    models_in,
)
from tests.supervisor.samples import report, spec, times
from xinfer.errors import Conflict
from xinfer.messages import ModelState, ReplicaStage

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


# Replicas that Serve has moved to other nodes.


def test_moved_replica_gets_nothing_more_and_may_finish() -> None:
    models = models_in(READY)
    models.report(report("r2"))
    version = models.moved("m", "r1")
    assert version == models.version
    assert [target.replica for target in models.table().models["m"].targets] == ["r2"]
    assert models.moved("m", "r1") == version, "asked again"
    models.report(report("r1", ReplicaStage.STOPPED))
    status = models.table().models["m"]
    assert ([each.replica for each in status.replicas], status.leaving) == (["r2"], ())


def test_moved_replica_takes_requests_until_another_does() -> None:
    models = models_in(READY)
    assert models.moved("m", "r1") == 0
    assert [target.replica for target in models.table().models["m"].targets] == ["r1"]
    models.report(report("r2"))
    assert models.moved("m", "r1") == models.version


def test_replica_of_a_model_that_nobody_wants_has_nothing_to_wait_for() -> None:
    models = models_in(READY)
    assert models.moved("nobody", "r1") is None
    models.report(report("r2"))
    models.terminate("m")
    assert models.moved("m", "r1") is None
