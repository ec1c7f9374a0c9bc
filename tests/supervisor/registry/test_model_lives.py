"""What happens to models is counted from the differences of tables."""

from __future__ import annotations

from dataclasses import replace

from supervisor.registry.model_lives import ModelLives
from tests.supervisor.samples import model_status, report, table, times
from xinfer.messages import LaunchOutcome, ModelLife, ModelState, ModelStatus, ReplicaEnd, ReplicaStage

LOADING = report("r1", ReplicaStage.LOADING)
UP_TIMES = times(starting=2.0, loading=2.5, warming_up=7.0, ready=7.25)
UP = model_status(report("r1", times=UP_TIMES, created_at=1.9), times=times(pending=0.5, placing=1.0, ready=7.25))
FAILED = report("r1", ReplicaStage.FAILED, info="out of memory")


def counted(*steps: tuple[ModelStatus, ...]) -> ModelLife:
    """What is counted of ``m`` when the tables are these, one after the other."""
    lives = ModelLives(table(version=0))
    for version, models in enumerate(steps, 1):
        lives.observe(table(*models, version=version))
    return lives.all["m"]


def launching(*replicas: object, **facts: object) -> ModelStatus:
    return model_status(*replicas, state=ModelState.LAUNCHING, **facts)  # type: ignore[arg-type]


def ends(life: ModelLife) -> dict[str, int]:
    return {reason.value: count for reason, count in life.replica_ends.items() if count}


def test_launch_that_becomes_ready() -> None:
    life = counted((launching(LOADING),), (UP,), (UP,))
    assert life.launches == {LaunchOutcome.READY: 1, LaunchOutcome.FAILED: 0, LaunchOutcome.CANCELLED: 0}
    spent = {stage: (sum(spread.counts), spread.total) for stage, spread in life.stages.items()}
    assert spent == {"placing": (1, 1.0), "starting": (1, 0.5), "loading": (1, 4.5), "warming_up": (1, 0.25)}


def test_launch_that_fails_is_counted_once() -> None:
    failed = model_status(state=ModelState.FAILED, ended=FAILED)
    life = counted((launching(LOADING),), (failed,), (replace(failed, reason="Out of memory."),))
    assert life.launches[LaunchOutcome.FAILED] == 1
    assert ends(life) == {"failed": 1}
    assert not life.stages, "it has not come up"


def test_launch_of_the_same_uid_anew() -> None:
    cancelled = model_status(state=ModelState.CANCELLED)
    life = counted((launching(),), (cancelled,), (launching(created_at=5.0),), (model_status(created_at=5.0),))
    assert (life.launches[LaunchOutcome.CANCELLED], life.launches[LaunchOutcome.READY]) == (1, 1)


def test_sleep_and_wake() -> None:
    asleep = model_status(state=ModelState.SLEEPING, ended=report("r1", ReplicaStage.STOPPED))
    waking = replace(launching(), waking=True, ended=asleep.ended)
    up_again = model_status(report("r2", times=UP_TIMES), ended=asleep.ended)
    life = counted((launching(LOADING),), (UP,), (asleep,), (waking,), (up_again,), (up_again,))
    assert (life.sleeps, life.wakes, life.launches[LaunchOutcome.READY]) == (1, 1, 1)
    assert sum(life.stages["loading"].counts) == 2
    assert ends(life) == {"stopped": 1}


def test_scaling() -> None:
    life = counted((model_status(),), (model_status(replicas=3),), (model_status(replicas=2),), (model_status(),))
    assert (life.scaled_up, life.scaled_down) == (1, 2)


def test_how_replicas_end() -> None:
    both = model_status(report("r1"), report("r2"), replicas=2)
    assert ends(counted((both,), (model_status(report("r2"), replicas=2),))) == {ReplicaEnd.LOST: 1}
    failed = model_status(report("r2"), replicas=2, ended=FAILED)
    assert ends(counted((both,), (failed,), (failed,))) == {ReplicaEnd.FAILED: 1}
    ending = model_status(state=ModelState.TERMINATING)
    assert ends(counted((both,), (ending,))) == {ReplicaEnd.STOPPED: 2}


def test_registry_that_has_just_started_counts_no_launch() -> None:
    lives = ModelLives(table(model_status(state=ModelState.PENDING, restored=True), version=0))
    lives.observe(table(UP, version=1))
    assert lives.all["m"].launches[LaunchOutcome.READY] == 0


def test_model_that_is_gone_is_forgotten() -> None:
    lives = ModelLives(table(version=0))
    lives.observe(table(UP, version=1))
    lives.observe(table(version=2))
    assert lives.all == {}
