"""Plans: what is done for each difference, in which order, and that doing it leaves nothing to do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.declared.cluster_double import ClusterDouble
from xinfer.declared import Action, Change, DeclaredModel, Performer, Plan, make_plan
from xinfer.declared.plan import Running


def model(uid: str = "m", **fields: Any) -> DeclaredModel:
    return DeclaredModel(model_name="fake", model_uid=uid, **fields)


def running(declared: DeclaredModel, status: str = "READY", replicas: int | None = None) -> Running:
    return Running(declared.uid, status, replicas or declared.replica or 1, declared.declaration())


def actions(plan: Plan) -> list[tuple[str, str]]:
    return [(step.action.value, step.uid) for step in plan.steps]


def test_same_is_kept() -> None:
    declared = model(replica=2, engine_args={"a": 1}, envs={"A": "x"})
    plan = make_plan([declared], [running(declared)])
    assert actions(plan) == [("keep", "m")]
    assert plan.is_empty


def test_replicas_that_follow_the_load_are_left_alone() -> None:
    """Another way to follow it is another launch, though."""
    declared = model(replica=1, autoscaling_config={"max_replicas": 4})
    assert make_plan([declared], [running(declared, replicas=3)]).is_empty
    (step,) = make_plan(
        [model(replica=1, autoscaling_config={"max_replicas": 8})], [running(declared, replicas=3)]
    ).steps
    assert (step.action, step.changes) == (Action.RELAUNCH, (Change("autoscaling_config.max_replicas", 4, 8),))


@pytest.mark.parametrize("status", ["CREATING", "LOADING", "READY", "SLEEPING"])
def test_on_its_way_or_asleep_is_kept_as_well(status: str) -> None:
    assert make_plan([model()], [running(model(), status)]).is_empty


@pytest.mark.parametrize("status", ["ERROR", "TERMINATED"])
def test_failed_is_launched_again(status: str) -> None:
    (step,) = make_plan([model()], [running(model(), status)]).steps
    assert step.action is Action.LAUNCH
    assert "failed" in step.note


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ({"n_gpu": 1}, {"n_gpu": 2}, Change("n_gpu", 1, 2)),
        ({}, {"context_length": 64}, Change("context_length", None, 64)),
        ({"trust_remote_code": True}, {}, Change("trust_remote_code", True, None)),
        ({"engine_args": {"a": 1, "b": 2}}, {"engine_args": {"a": 3, "b": 2}}, Change("engine_args.a", 1, 3)),
    ],
)
def test_change_of_a_field_relaunches(before: dict[str, Any], after: dict[str, Any], change: Change) -> None:
    (step,) = make_plan([model(**after)], [running(model(**before))]).steps
    assert (step.action, step.changes, step.interrupts) == (Action.RELAUNCH, (change,), True)


def test_change_of_a_secret_shows_no_secret() -> None:
    (step,) = make_plan([model(envs={"T": "new"})], [running(model(envs={"T": "old"}))]).steps
    assert step.action is Action.RELAUNCH
    assert [change.field for change in step.changes] == ["envs.T"]
    assert "new" not in str(step.changes)
    assert "old" not in str(step.changes)


@pytest.mark.parametrize(("now", "wanted"), [(1, 3), (3, 1)])
def test_replicas_are_scaled_in_place(now: int, wanted: int) -> None:
    (step,) = make_plan([model(replica=wanted)], [running(model(), replicas=now)]).steps
    assert (step.action, step.changes, step.replicas) == (Action.SCALE, (Change("replica", now, wanted),), now)
    assert not step.interrupts


@pytest.mark.parametrize("status", ["SLEEPING", "LOADING", "CREATING"])
def test_one_that_is_not_up_is_relaunched_for_other_replicas(status: str) -> None:
    (step,) = make_plan([model(replica=3)], [running(model(), status)]).steps
    assert step.action is Action.RELAUNCH


def test_replicas_that_nobody_declared_are_left_alone() -> None:
    assert make_plan([model()], [running(model(replica=2), replicas=5)]).is_empty


def test_launched_by_hand() -> None:
    by_hand = Running("m", "READY", 1)
    assert actions(make_plan([model()], [by_hand])) == [("unmanaged", "m")]
    assert actions(make_plan([model()], [by_hand], adopt=True)) == [("relaunch", "m")]


def test_prune_takes_only_what_was_declared() -> None:
    found = [running(model("old")), Running("mine", "READY", 1), running(model("m"))]
    assert actions(make_plan([model()], found)) == [("keep", "m")]
    assert actions(make_plan([model()], found, prune=True)) == [("keep", "m"), ("terminate", "old")]


def test_what_frees_gpus_comes_first() -> None:
    declared = [model("new"), model("up", replica=3), model("other", n_gpu=2), model("down", replica=1)]
    found = [
        running(model("up")),
        running(model("other", n_gpu=1)),
        running(model("down"), replicas=2),
        running(model("gone")),
    ]
    plan = make_plan(declared, found, prune=True)
    expected = ["terminate gone", "scale down", "relaunch other", "launch new", "scale up"]
    assert [" ".join(each) for each in actions(plan)] == expected


MODELS = st.builds(
    model,
    st.sampled_from("abcd"),
    replica=st.none() | st.integers(1, 3),
    n_gpu=st.sampled_from(["auto", "none", 1, 0.5]),
    engine_args=st.dictionaries(st.sampled_from("xy"), st.integers(0, 1), max_size=2),
    envs=st.dictionaries(st.sampled_from("XY"), st.sampled_from("01"), max_size=2),
)
FILES = st.lists(MODELS, max_size=4, unique_by=lambda each: each.uid)
STATUSES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["READY", "LOADING", "SLEEPING", "ERROR"]))


@given(FILES, FILES, STATUSES, st.booleans())
def test_a_plan_that_is_done_leaves_nothing_to_do(
    first: list[DeclaredModel], second: list[DeclaredModel], statuses: dict[str, str], prune: bool
) -> None:
    cluster = ClusterDouble()
    cluster.put("by-hand")
    performer = Performer(cluster)
    assert not performer.perform(make_plan(first, performer.running())).failed
    for uid, status in statuses.items():
        if uid in cluster.models:
            cluster.models[uid]["status"] = status

    assert not performer.perform(make_plan(second, performer.running(), prune=prune)).failed
    assert make_plan(second, performer.running(), prune=prune).is_empty
    assert "by-hand" in cluster.models
    expected = {each.uid for each in second} | {"by-hand"} | (set() if prune else {each.uid for each in first})
    assert set(cluster.models) == expected
    for each in second:
        assert each.replica in (None, cluster.models[each.uid]["replica"])
