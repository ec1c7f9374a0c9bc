"""Carrying out plans: calls, what is waited for, and what becomes of the rest after a failure."""

from __future__ import annotations

from tests.declared.cluster_double import ClusterDouble
from xinfer.declared import Action, DeclaredModel, Performer, Step, make_plan
from xinfer.declared.plan import Plan
from xinfer.errors import LaunchFailed


def model(uid: str, **fields: int) -> DeclaredModel:
    return DeclaredModel(model_name="fake", model_uid=uid, **fields)  # type: ignore[arg-type]


def test_calls() -> None:
    cluster = ClusterDouble()
    for old in (model("up"), model("down", replica=3), model("other", context_length=8), model("gone")):
        cluster.put(old.uid, old.replica or 1, old.declaration())
    declared = [model("up", replica=3), model("down", replica=1), model("other", context_length=9), model("new")]
    followed: list[str] = []
    performer = Performer(cluster, followed.append)
    outcome = performer.perform(make_plan(declared, performer.running(), prune=True))
    assert cluster.calls == [
        *("terminate gone", "remove one of down", "remove one of down"),
        *("terminate other", "launch other", "add 2 to up", "launch new"),
    ]
    assert followed == ["down", "other", "up", "new"]
    assert not outcome.failed
    assert [step.uid for step in outcome.done] == ["gone", *followed]


def test_one_that_is_refused_keeps_no_other_from_coming_up() -> None:
    cluster = ClusterDouble(refuses={"a"})
    performer = Performer(cluster)
    outcome = performer.perform(make_plan([model("a"), model("b")], []))
    assert [(step.uid, error.message) for step, error in outcome.failed] == [("a", "no room for a")]
    assert [step.uid for step in outcome.done] == ["b"]


def test_one_that_fails_later_is_told_of_as_well() -> None:
    def follow(uid: str) -> None:
        if uid == "a":
            raise LaunchFailed("out of memory")

    outcome = Performer(ClusterDouble(), follow).perform(make_plan([model("a"), model("b")], []))
    assert [step.uid for step, _ in outcome.failed] == ["a"]
    assert [step.uid for step in outcome.done] == ["b"]


def test_one_that_is_gone_meanwhile_is_relaunched_all_the_same() -> None:
    cluster = ClusterDouble()
    plan = Plan((Step("m", Action.RELAUNCH, model("m")),))
    assert not Performer(cluster).perform(plan).failed
    assert cluster.calls == ["terminate m", "launch m"]
