"""Replicas that leave: they are chosen, finish what they have, and Serve's replacement for them never starts an engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from supervisor.registry.autoscaling.scaling import DRAIN_TIMEOUT_S, Scaling
from supervisor.registry.autoscaling.signals import Signals
from supervisor.registry.models import Deploy, Models
from tests.supervisor.registry.states import NOW, READY, models_in
from tests.supervisor.samples import report, spec
from xinfer.messages import (
    AutoscalingConfig,
    EngineLoad,
    ModelStatus,
    ReplicaOrders,
    ReplicaStage,
    SupervisorLoad,
)

PLACING = ReplicaStage.PLACING
STOPPED = ReplicaStage.STOPPED


@pytest.fixture
def models() -> Models:
    """The model ``m`` with three replicas that are ready."""
    found = models_in(READY)
    found.scale("m", 3)
    found.next_action("m", NOW)
    found.report(report("r2"))
    found.report(report("r3"))
    return found


@pytest.fixture
def signals(models: Models) -> Signals:
    """Two supervisors that use all of them, the second replica least."""
    found = Signals()
    tell(found, models, r1=3, r2=1, r3=2)
    return found


@pytest.fixture
def scaling(models: Models, signals: Signals) -> Scaling:
    return Scaling(models, signals, lambda _: None)


def tell(signals: Signals, models: Models, at: float = 0.0, **replicas: int) -> None:
    """Both supervisors act on the present table, and have so many requests at each replica."""
    for name in ("s1", "s2"):
        signals.on_supervisor(name, models.version, {"m": SupervisorLoad(replicas=replicas)}, at)


def model(models: Models) -> ModelStatus:
    return models.table().models["m"]


def steps(scaling: Scaling, at: float) -> Iterator[str]:
    return (change.note for change in scaling.step(at, NOW + at))


def test_the_least_busy_one_leaves_once_nobody_uses_it(models: Models, signals: Signals, scaling: Scaling) -> None:
    scaling.by_hand("m", 2, NOW)
    assert (model(models).leaving, model(models).desired, model(models).spec.replicas) == (("r2",), 2, 3)
    assert [target.replica for target in model(models).targets] == ["r1", "r3"]
    assert model(models).is_complete
    assert not model(models).is_degraded
    assert models.next_action("m", NOW) is None, "Serve is not told before it has left"

    list(steps(scaling, 1))
    assert not models.orders(report("r2")).leave, "the supervisors act on an older table"
    tell(signals, models, r1=3, r2=1)
    list(steps(scaling, 2))
    assert not models.orders(report("r2")).leave, "it has a request still"
    tell(signals, models, r1=3)
    list(steps(scaling, 3))
    assert models.orders(report("r2")) == ReplicaOrders(measure=True, leave=True)

    models.report(report("r2", STOPPED, updated_at=NOW + 4))
    assert (model(models).desired, model(models).spec.replicas) == (2, 3)
    assert models.next_action("m", NOW) is None
    models.report(report("r4", PLACING))
    assert not models.orders(report("r4", PLACING)).start
    assert models.next_action("m", NOW) == Deploy(spec(replicas=2))
    models.report(report("r4", PLACING))
    assert models.next_action("m", NOW) is None, "it counts once"
    assert [each.replica for each in model(models).replicas] == ["r1", "r3"]
    assert models.get("m").failures == 0


def test_what_leaves_stays_if_more_are_wanted(models: Models, scaling: Scaling) -> None:
    scaling.by_hand("m", 1, NOW)
    assert set(model(models).leaving) == {"r2", "r3"}
    scaling.by_hand("m", 3, NOW)
    assert (model(models).leaving, model(models).desired) == ((), 3)
    assert models.next_action("m", NOW) is None


def test_replacement_starts_if_more_are_wanted_meanwhile(models: Models, signals: Signals, scaling: Scaling) -> None:
    scaling.by_hand("m", 2, NOW)
    tell(signals, models)
    list(steps(scaling, 1))
    models.report(report("r2", STOPPED, updated_at=NOW))
    scaling.by_hand("m", 3, NOW)
    models.report(report("r4", PLACING))
    assert models.orders(report("r4", PLACING)).start
    assert models.next_action("m", NOW) is None
    assert len(model(models).replicas) == 3


def test_its_time_to_finish_has_an_end(models: Models, scaling: Scaling) -> None:
    scaling.by_hand("m", 2, NOW)
    (note,) = [note for note in steps(scaling, DRAIN_TIMEOUT_S + 1) if note]
    assert "broken off" in note
    assert models.orders(report("r2")) == ReplicaOrders(measure=True, leave=True, leave_at_once=True)


def test_serve_is_told_if_it_finds_no_place_for_a_replacement(
    models: Models, signals: Signals, scaling: Scaling
) -> None:
    scaling.by_hand("m", 2, NOW)
    models.report(report("r2", STOPPED, updated_at=NOW))
    list(steps(scaling, 10))
    assert models.next_action("m", NOW) is None
    list(steps(scaling, 16))
    assert models.next_action("m", NOW) == Deploy(spec(replicas=2))


def test_the_last_that_works_is_recalled_when_the_others_die(models: Models, scaling: Scaling) -> None:
    scaling.by_hand("m", 2, NOW)
    models.report(report("r1", ReplicaStage.FAILED))
    models.report(report("r3", ReplicaStage.FAILED))
    assert [target.replica for target in model(models).targets] == ["r2"]
    assert model(models).state is READY


def test_those_on_their_way_up_go_first(models: Models, scaling: Scaling) -> None:
    models.scale("m", 5)
    models.next_action("m", NOW)
    scaling.by_hand("m", 3, NOW)
    assert (model(models).leaving, model(models).spec.replicas) == ((), 3)
    models.scale("m", 5)
    scaling.by_hand("m", 2, NOW)
    assert (model(models).leaving, model(models).spec.replicas) == (("r2",), 3)


def test_an_engine_of_a_model_that_is_not_scaled_is_not_asked(models: Models, scaling: Scaling) -> None:
    assert models.orders(report("r1")) == ReplicaOrders()
    models.configure("m", AutoscalingConfig(1, 3), None)
    assert models.orders(report("r1")).measure
    assert models.next_action("m", NOW) is None, "Serve need not know"


def test_order_by_what_is_in_flight_then_by_cache_then_by_age(models: Models) -> None:
    signals = Signals()
    tell(signals, models, r1=1)
    signals.on_engine("m", "r2", EngineLoad(kv_cache_usage=0.3), 0.0)
    signals.on_engine("m", "r3", EngineLoad(kv_cache_usage=0.2), 0.0)
    assert signals.leaving_order(model(models)) == ["r3", "r2", "r1"]
    assert signals.leaving_order(model(models), {"r3": 5}) == ["r3", "r2", "r1"], "what is reported is newer"
    assert Signals().leaving_order(model(models), {"r1": 2, "r2": 1, "r3": 3}) == ["r2", "r1", "r3"]
    models.report(report("r2", created_at=9.0))
    models.report(report("r3", created_at=8.0))
    assert Signals().leaving_order(model(models)) == ["r2", "r3", "r1"]


def test_new_registry_does_not_give_up_a_model_for_a_replica_that_goes() -> None:
    """One that stands for a replica that left ends as failed; those that run have not been heard of yet."""
    models = Models(version=0)
    models.restore(spec(replicas=2))
    models.found("m", NOW, alive=True)
    models.next_action("m", NOW)
    models.report(report("r3", ReplicaStage.FAILED, info="the engine's process ended"))
    assert models.get("m").end is None
    models.report(report("r1"))
    assert models.get("m").state is READY
