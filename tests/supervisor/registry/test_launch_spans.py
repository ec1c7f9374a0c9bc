"""Spans of launches are made of the differences of tables."""

from __future__ import annotations

from supervisor.registry.launch_spans import LaunchSpan, LaunchSpans
from tests.supervisor.samples import model_status, report, table, times
from xinfer.messages import ModelState, ModelStatus, ReplicaStage
from xinfer.traces import LaunchContext

WAY_UP = times(starting=2.0, loading=2.5, warming_up=7.0, ready=7.25)
UP = report("r1", times=WAY_UP, created_at=1.9)
LAUNCHING = model_status(report("r1", ReplicaStage.LOADING), state=ModelState.LAUNCHING, times=times(pending=0.5))
READY = model_status(UP, times=times(pending=0.5, placing=1.0, ready=7.25))


def spans(*steps: tuple[ModelStatus, ...]) -> list[LaunchSpan]:
    """Those of all steps, the tables being these, one after the other."""
    observer = LaunchSpans(table(version=0))
    found: list[LaunchSpan] = []
    for version, models in enumerate(steps, 1):
        found += observer.observe(table(*models, version=version))
    return found


def test_launch_that_becomes_ready() -> None:
    found = spans((LAUNCHING,), (READY,), (READY,))
    by_name = {each.name: each for each in found}
    assert len(by_name) == len(found) == 7
    launch, replica = by_name["launch m"], by_name["start replica"]
    context = LaunchContext("m", 0.0)
    assert (launch.trace_id, launch.span_id, launch.parent_id) == (context.trace_id, context.span_id, None)
    assert (launch.began_at, launch.ended_at, launch.attributes["xinfer.outcome"]) == (0.5, 7.25, "ready")
    assert (replica.parent_id, replica.began_at, replica.ended_at) == (launch.span_id, 1.0, 7.25)
    assert by_name["pending"].parent_id == launch.span_id
    took = {name: each.ended_at - each.began_at for name, each in by_name.items() if each.parent_id == replica.span_id}
    assert took == {"placing": 1.0, "starting": 0.5, "loading": 4.5, "warming_up": 0.25}
    assert {each.trace_id for each in found} == {context.trace_id}
    assert len({each.span_id for each in found}) == 7


def test_launch_that_fails() -> None:
    ended = report("r1", ReplicaStage.FAILED, info="out of memory", times=times(starting=2.0, failed=3.0))
    failed = model_status(
        state=ModelState.FAILED, reason="Out of memory.", ended=ended, times=times(pending=0.5, placing=1.0, failed=3.5)
    )
    by_name = {each.name: each for each in spans((LAUNCHING,), (failed,))}
    assert (by_name["start replica"].error, by_name["launch m"].error) == ("out of memory", "Out of memory.")
    assert by_name["starting"].ended_at == 3.0


def test_replica_that_comes_later_belongs_to_the_same_trace() -> None:
    second = report("r2", times=times(starting=20.0, ready=21.0), created_at=19.0)
    found = spans((LAUNCHING,), (READY,), (model_status(UP, second, times=READY.times),))
    later = found[7:]
    assert [each.name for each in later] == ["start replica", "starting"]
    assert {each.trace_id for each in later} == {found[0].trace_id}


def test_what_a_new_registry_finds_is_no_launch() -> None:
    observer = LaunchSpans(table(LAUNCHING, version=1))
    assert observer.observe(table(model_status(UP, times=READY.times, restored=True), version=2)) == []


def test_replica_that_was_up_and_fails_is_no_start() -> None:
    ended = report("r1", ReplicaStage.FAILED, info="gone", times=(*WAY_UP, *times(failed=90.0)))
    found = spans((LAUNCHING,), (READY,), (model_status(ended=ended, times=READY.times),))
    assert len(found) == 7
