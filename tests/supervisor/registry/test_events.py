"""Events are the differences of tables."""

from __future__ import annotations

from dataclasses import replace

from supervisor.registry.events import KEPT_PER_MODEL, Events
from tests.supervisor.samples import model_status, report, table, times
from xinfer.messages import Event, EventType, ModelState, ModelStatus, ReplicaStage

LOADING = report("r1", ReplicaStage.LOADING, node="10.0.0.1")
READY = report("r1", node="10.0.0.1")
FAILED = report("r1", ReplicaStage.FAILED, info="out of memory")


def told(*steps: tuple[ModelStatus, ...]) -> list[tuple[str, str]]:
    """What is told of ``m`` when the tables are these, one after the other."""
    events = Events(table(version=0), 0.0)
    for version, routes in enumerate(steps, 1):
        events.observe(table(*routes, version=version), float(version))
    return [(event.type.value, event.content) for event in events.of("m")]


UP = (model_status(READY),)
START = [
    ("INFO", "Launch of family asked for: 1 replica."),
    ("INFO", "Replica r1: ready on 10.0.0.1."),
    ("INFO", "Ready: it answers."),
]


def test_from_launch_to_end() -> None:
    launching = (model_status(state=ModelState.LAUNCHING),)
    loading = (model_status(LOADING, state=ModelState.LAUNCHING),)
    ending = (model_status(READY, state=ModelState.TERMINATING),)
    assert told(launching, loading, UP, ending, ()) == [
        ("INFO", "Launch of family asked for: 1 replica."),
        ("INFO", "Replica r1: loading on 10.0.0.1."),
        ("INFO", "Replica r1: ready on 10.0.0.1."),
        ("INFO", "Ready: it answers."),
        ("INFO", "Being taken down."),
        ("INFO", "Terminated."),
    ]


def test_failed_launch_says_why() -> None:
    begun = (model_status(LOADING, state=ModelState.LAUNCHING),)
    failed = (model_status(state=ModelState.FAILED, reason="The GPU is too small.", ended=FAILED),)
    assert told(begun, failed)[-2:] == [
        ("ERROR", "Replica r1 failed: out of memory."),
        ("ERROR", "The GPU is too small."),
    ]


def test_replica_that_is_lost_and_another_one() -> None:
    nobody = (model_status(state=ModelState.LAUNCHING),)
    other = (model_status(report("r2")),)
    assert told(UP, nobody, other)[3:] == [
        ("WARNING", "Replica r1 is lost: nobody reaches it."),
        ("WARNING", "No replica answers; another one is on its way."),
        ("INFO", "Replica r2: ready."),
        ("INFO", "Ready: it answers."),
    ]


def test_replica_that_failed_before_anybody_saw_it() -> None:
    assert told(UP, (model_status(READY, ended=replace(FAILED, replica="r2")),))[3:] == [
        ("ERROR", "Replica r2 failed: out of memory.")
    ]


def test_sleep() -> None:
    asleep = (model_status(state=ModelState.SLEEPING),)
    waking = (replace(model_status(state=ModelState.LAUNCHING), waking=True),)
    assert [content for _, content in told(UP, asleep, waking, UP)[3:]] == [
        "Replica r1 ended.",
        "Asleep: it was idle for its idle timeout; the next request wakes it.",
        "Woken by a request.",
        "Replica r1: ready on 10.0.0.1.",
        "Ready: it answers.",
    ]


def test_scaled_up_and_back() -> None:
    two, back = (model_status(READY, replicas=2),), (model_status(READY, reason="It stays at 1 replica, since ..."),)
    assert told(UP, two, back)[3:] == [
        ("INFO", "Scaled from 1 to 2 replicas."),
        ("WARNING", "Scaled from 2 to 1 replica. It stays at 1 replica, since ..."),
    ]


def test_another_launch_of_the_same_uid() -> None:
    assert told(UP, (model_status(READY, created_at=5.0),)) == START + START


def test_cancelled() -> None:
    begun = (model_status(state=ModelState.LAUNCHING),)
    assert told(begun, (model_status(state=ModelState.CANCELLED),))[-1] == ("WARNING", "The launch was cancelled.")


def test_a_table_that_has_not_changed_is_no_event() -> None:
    events = Events(table(version=0), 0.0)
    for _ in range(3):
        events.observe(table(*UP, version=1), 1.0)
    assert len(events.of("m")) == len(START)


def test_after_a_restart_the_registry_says_so() -> None:
    events = Events(table(*UP), 7.0)
    assert events.of("m") == [Event(EventType.WARNING, 7.0, "The registry was started again.")]


def test_what_is_kept_is_bounded() -> None:
    events = Events(table(version=0), 0.0)
    for version in range(1, 500):
        events.observe(table(model_status(READY, replicas=version % 2 + 1), version=version), float(version))
    assert len(events.of("m")) == KEPT_PER_MODEL
    assert events.of("m")[-1].at == 499.0
    for version in range(500, 1500, 2):
        events.observe(table(*UP, model_status(uid=f"short-{version}"), version=version), 0.0)
        events.observe(table(*UP, version=version + 1), 0.0)
    assert events.of("m"), "the one that runs is not forgotten for those that are gone"
    assert not events.of("short-500")
    assert events.of("short-1498")


def test_unknown() -> None:
    assert Events(table(), 0.0).of("ghost") == []


def test_degraded_and_complete_again() -> None:
    """Not while it is launched, nor while it is scaled up."""
    other = report("r2", node="10.0.0.2")
    once = times(ready=1.0)
    launched = (model_status(READY, replicas=2),)
    complete = (model_status(READY, other, replicas=2, times=once),)
    degraded = (model_status(READY, replicas=2, times=once),)
    scaled = (replace(model_status(READY, other, replicas=3, times=once), scaling=True),)
    contents = [content for _, content in told(launched, complete, scaled, degraded, complete)]
    assert contents.count("Degraded: 1 of 2 replicas take requests.") == 1
    assert contents.count("All of 2 replicas take requests again.") == 1
    assert [content for content in contents if content.startswith("Degraded")] == [
        "Degraded: 1 of 2 replicas take requests."
    ]
