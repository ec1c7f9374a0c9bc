"""Files come to nodes before replicas do: to which ones, one after the other, and again if it fails."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.registry.autoscaling.prewarming import Fetch, Prewarming
from tests.supervisor.samples import model_status, report
from xinfer.messages import AutoscalingConfig, ModelState, ModelStatus


def node(number: int, gpus: float = 2, **labels: str) -> dict[str, Any]:
    return {"NodeID": f"n{number}", "NodeManagerAddress": f"a{number}", "Resources": {"GPU": gpus}, "Labels": labels}


NODES = [node(1), node(2, rack="b"), node(3, gpus=0), node(4, rack="b")]


def model(**facts: Any) -> ModelStatus:
    """One that runs on the first node."""
    facts = {"path": "Qwen/Qwen3-0.6B", "gpus": 1, "autoscaling": AutoscalingConfig(1, 4), **facts}
    return model_status(report(node="a1"), **facts)


def begun(prewarming: Prewarming, now: float, *models: ModelStatus, nodes: list[dict[str, Any]] = NODES) -> list[Fetch]:
    return prewarming.next({each.spec.uid: each for each in models}, nodes, now)


def to(fetches: list[Fetch]) -> list[tuple[str, str]]:
    return [(fetch.spec.uid, fetch.node["NodeID"]) for fetch in fetches]


def test_one_node_after_the_other_that_has_no_replica_and_the_gpus() -> None:
    prewarming = Prewarming()
    (first,) = begun(prewarming, 0, model())
    assert to([first]) == [("m", "n2")]
    assert begun(prewarming, 5, model()) == []
    prewarming.ended(first, 6, is_there=True)
    (second,) = begun(prewarming, 10, model())
    assert to([second]) == [("m", "n4")]
    prewarming.ended(second, 11, is_there=True)
    assert begun(prewarming, 15, model()) == []
    joined = begun(prewarming, 20, model(), nodes=[*NODES, node(5)])
    assert to(joined) == [("m", "n5")]


def test_models_do_not_wait_for_each_other() -> None:
    assert to(begun(Prewarming(), 0, model(), model(uid="other"))) == [("m", "n2"), ("other", "n2")]


def test_another_launch_of_the_same_name_begins_anew() -> None:
    prewarming = Prewarming()
    (first,) = begun(prewarming, 0, model(created_at=1.0))
    prewarming.ended(first, 1, is_there=True)
    assert to(begun(prewarming, 5, model(created_at=2.0))) == [("m", "n2")]


def test_what_fails_is_tried_again_later_and_later() -> None:
    prewarming = Prewarming()
    there = [node(1), node(2)]
    began: list[float] = []
    for now in range(0, 500, 5):
        for fetch in begun(prewarming, now, model(), nodes=there):
            began.append(now)
            prewarming.ended(fetch, now, is_there=False)
    assert began == [0, 60, 180, 420]


def test_on_the_nodes_that_the_launch_names() -> None:
    assert to(begun(Prewarming(), 0, model(node_labels={"rack": "b"}))) == [("m", "n2")]
    assert begun(Prewarming(), 0, model(node="a1")) == []
    assert begun(Prewarming(), 0, model(node="a9")) == []


@pytest.mark.parametrize("facts", [{"autoscaling": None}, {"path": "/models/m"}, {"state": ModelState.LAUNCHING}])
def test_not_for_all_models(facts: dict[str, Any]) -> None:
    assert begun(Prewarming(), 0, model(**facts)) == []


def test_model_that_is_gone_is_forgotten() -> None:
    prewarming = Prewarming()
    (first,) = begun(prewarming, 0, model())
    assert begun(prewarming, 5) == []
    prewarming.ended(first, 6, is_there=False)
    assert to(begun(prewarming, 10, model())) == [("m", "n2")]
