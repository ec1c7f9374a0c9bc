"""Which nodes a launch is placed on first."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.registry.node_choice import Candidate, NodeChoice, choose_nodes
from tests.supervisor.samples import model_status, report
from worker.app import build
from xinfer.errors import LaunchRefused
from xinfer.messages import AutoscalingConfig, ModelSpec, NodeReport
from xinfer.settings import EngineSettings

FULL = Candidate("full", 0, has_files=True, is_warm=True)
PLAIN, COLD, WARM, BEST = (
    Candidate("plain", 4),
    Candidate("cold", 4, has_files=True),
    Candidate("warm", 4, is_warm=True),
    Candidate("best", 4, has_files=True, is_warm=True),
)
ALL = [FULL, PLAIN, COLD, WARM, BEST]


@pytest.mark.parametrize(
    ("replicas", "group"),
    [(1, "best"), (2, "best cold"), (3, "best cold warm")],
)
def test_files_first_then_a_warm_host_and_a_node_for_each_replica(replicas: int, group: str) -> None:
    (found,) = NodeChoice(replicas, 1).groups(ALL)
    assert " ".join(sorted(found)) == group


@pytest.mark.parametrize("replicas", [4, 9])
def test_as_many_replicas_as_nodes_take_them_all(replicas: int) -> None:
    """A group would have two replicas share a node of it while another one is free."""
    assert NodeChoice(replicas, 1).groups(ALL) == ()


def test_nodes_that_are_alike_are_left_to_ray() -> None:
    assert NodeChoice(1, 1).groups([PLAIN, Candidate("other", 2)]) == ()
    assert NodeChoice(1, 8).groups(ALL) == (), "nothing has room"
    assert NodeChoice(1, 1).groups([]) == ()


def test_all_that_are_as_good_as_the_last_one_are_in_the_group() -> None:
    """Ray goes round among them."""
    twin = Candidate("twin", 1, has_files=True)
    (found,) = NodeChoice(2, 1).groups([*ALL, twin])
    assert set(found) == {"best", "cold", "twin"}


def test_replicas_without_gpus_go_by_files_and_warm_host_alone() -> None:
    assert NodeChoice(1, 0).groups([FULL, BEST, PLAIN]) == (("full", "best"),)


def test_part_of_a_gpu_goes_where_another_part_is_free() -> None:
    """Files or not: a download ends, and a GPU of which nobody uses the rest does not."""
    shared = Candidate("shared", 0.5)
    assert NodeChoice(1, 0.5).groups([shared, BEST, PLAIN]) == (("shared",),)
    assert NodeChoice(1, 0.6).groups([shared, BEST, PLAIN]) == (("best",),)
    assert NodeChoice(1, 1).groups([Candidate("shared", 1.5), PLAIN]) == (), "whole GPUs are not concerned"


def test_packed_replicas_fill_one_node_after_the_other() -> None:
    nodes = [Candidate("large", 8), Candidate("small", 2), Candidate("none", 0), Candidate("filled", 8, has_files=True)]
    assert NodeChoice(3, 1, pack=True).groups(nodes) == (("filled",), ("small",), ("large",))
    assert NodeChoice(3, 4, pack=True).groups(nodes) == (("filled",), ("large",))


def node(name: str, **labels: str) -> dict[str, Any]:
    return {"NodeID": name, "NodeManagerAddress": name, "Resources": {"GPU": 2.0}, "Labels": labels}


def of_node(name: str, *cached: str, fork_server: str = "ready") -> NodeReport:
    return NodeReport(name, name, "1", 8, 0, 1, 1, 1, 1, fork_server, cached_models=cached)


SPEC = ModelSpec("m", "qwen", "Qwen/Qwen3-8B", gpus=1)
NODES = [node("a", zone="x"), node("b", zone="x"), node("c")]
REPORTS = {"a": of_node("a"), "c": of_node("c", "Qwen/Qwen3-8B")}


def test_choice_follows_what_agents_report() -> None:
    assert choose_nodes(SPEC, NODES, (), REPORTS) == (("c",),)
    there = ModelSpec("m", "qwen", "Qwen/Qwen3-8B", gpus=1, node="10.0.0.1")
    assert choose_nodes(there, NODES, (), REPORTS) == ()
    labelled = ModelSpec("m", "qwen", "Qwen/Qwen3-8B", gpus=1, node_labels={"zone": "x"})
    assert choose_nodes(labelled, NODES, (), REPORTS) == (("a",),)
    with pytest.raises(LaunchRefused):
        choose_nodes(ModelSpec("m", "q", "q", node_labels={"zone": "y"}), NODES, (), REPORTS)
    waits = ModelSpec("m", "q", "q", gpus=1, node_labels={"zone": "y"}, wait_for_capacity=True)
    assert choose_nodes(waits, NODES, (), REPORTS) == (), "such a node is yet to come"


def test_gpus_that_models_have_or_wait_for_are_taken() -> None:
    """A launch that was admitted a moment ago has no replica yet."""
    held = model_status(report("r", node="c"), gpus=2)
    assert choose_nodes(SPEC, NODES, [held], REPORTS) == (("a",),)
    waiting = model_status(gpus=2)
    assert choose_nodes(SPEC, NODES, [held, waiting], REPORTS) == (), "b alone is left"


def test_a_model_that_grows_needs_as_many_nodes_as_it_may_have_replicas() -> None:
    grows = ModelSpec("m", "q", "Qwen/Qwen3-8B", gpus=1, autoscaling=AutoscalingConfig(min_replicas=1, max_replicas=3))
    assert choose_nodes(grows, NODES, (), REPORTS) == ()


def test_ray_is_given_the_groups_and_then_any_node_with_the_labels() -> None:
    spec = ModelSpec("m", "q", "q", gpus=1, node_groups=(("a", "b"), ("c",)), node_labels={"zone": "x"})
    options = build(spec, EngineSettings())._bound_deployment.ray_actor_options
    assert options["label_selector"] == {"ray.io/node-id": "in(a,b)", "zone": "x"}
    assert options["fallback_strategy"] == [
        {"label_selector": {"ray.io/node-id": "in(c)", "zone": "x"}},
        {"label_selector": {"zone": "x"}},
    ]
    plain = build(ModelSpec("m", "q", "q", gpus=1), EngineSettings())._bound_deployment.ray_actor_options
    assert "label_selector" not in plain
