"""What the cluster has, by Ray's records of nodes and the models that run."""

from __future__ import annotations

import pytest

from supervisor.nodes.gpu_inventory import gpu_bytes, of_nodes
from tests.supervisor.nodes.ray_nodes import GIB, LABELS, ray_node
from tests.supervisor.samples import model_status, report
from xinfer.catalog.gpu_places import NodeGpus
from xinfer.messages import FollowerReport, ModelState, ReplicaStage


def test_a_node_as_its_labels_tell() -> None:
    known, unknown, bare = ray_node("a", 8, **LABELS), ray_node("b", 2), ray_node("c", 0)
    assert of_nodes([known, unknown, bare], ()) == [
        NodeGpus(8, 8, 80 * GIB, 9.0, 16 * GIB),
        NodeGpus(2, 2, None, None, 16 * GIB),
        NodeGpus(0, 0, None, None, 16 * GIB),
    ]
    assert (gpu_bytes(known), gpu_bytes(unknown)) == (80 * GIB, None)
    assert gpu_bytes({"Resources": {}}) is None


def test_gpus_of_replicas_are_taken_where_they_are() -> None:
    placed = model_status(report("r1", node="a"), report("r2", node="b"), gpus=2, replicas=2)
    half = model_status(report("r1", node="b"), gpus=0.5)
    found = of_nodes([ray_node("a", 8), ray_node("b", 8)], [placed, half])
    assert [each.free for each in found] == [6, 5.5]


def test_workers_of_a_replica_take_gpus_on_nodes_of_their_own() -> None:
    three = [ray_node("a", 8), ray_node("b", 8), ray_node("c", 8)]
    follower = FollowerReport(1, "c")
    placed = model_status(report("r1", node="a", followers=(follower,)), gpus=4, workers=2)
    assert [each.free for each in of_nodes(three, [placed])] == [4, 8, 4]
    partly = model_status(report("r1", node="a"), gpus=4, workers=3)
    assert [each.free for each in of_nodes(three, [partly])] == [4, 4, 4]
    pending = model_status(gpus=8, workers=2, state=ModelState.PENDING)
    assert sorted(each.free for each in of_nodes(three, [pending])) == [0, 0, 8]


def test_those_without_a_place_are_taken_off_where_most_are_free() -> None:
    loading = report("r1", ReplicaStage.LOADING, node="a")
    launching = model_status(loading, gpus=4, replicas=2, state=ModelState.LAUNCHING)
    pending = model_status(gpus=1, state=ModelState.PENDING)
    found = of_nodes([ray_node("a", 8), ray_node("b", 8)], [pending, launching])
    assert sorted(each.free for each in found) == [3, 4]


@pytest.mark.parametrize("state", [ModelState.FAILED, ModelState.CANCELLED, ModelState.SLEEPING])
def test_what_does_not_run_takes_nothing(state: ModelState) -> None:
    assert of_nodes([ray_node("a", 8)], [model_status(gpus=4, state=state)])[0].free == 8


@pytest.mark.parametrize("state", [ModelState.PENDING, ModelState.READY, ModelState.DRAINING, ModelState.TERMINATING])
def test_what_runs_or_is_about_to_keeps_its_gpus(state: ModelState) -> None:
    """A model that is about to sleep has them still, and one that terminates gives them back at its end."""
    assert of_nodes([ray_node("a", 8)], [model_status(gpus=4, state=state)])[0].free == 4


def test_two_nodes_at_one_address_and_a_node_that_has_gone() -> None:
    two = [model_status(report("r1", node="a"), gpus=1), model_status(report("r2", node="a"), gpus=1)]
    assert [each.free for each in of_nodes([ray_node("a", 1), ray_node("a", 1)], two)] == [0, 0]
    assert of_nodes([ray_node("b", 2)], two)[0].free == 2


def test_those_that_wait_for_a_node_leave_alone_where_they_have_no_room() -> None:
    nodes = [ray_node("a", 2), ray_node("b", 4, gpu="A100")]
    for facts, free in (
        ({"gpus": 8}, [2, 4]),
        ({"gpus": 2, "node_labels": {"gpu": "H100"}}, [2, 4]),
        ({"gpus": 2, "node_labels": {"gpu": "A100"}}, [2, 2]),
        ({"gpus": 3, "replicas": 3}, [2, 1]),
    ):
        waiting = model_status(state=ModelState.PENDING, wait_for_capacity=True, **facts)
        assert [each.free for each in of_nodes(nodes, [waiting])] == free, facts
