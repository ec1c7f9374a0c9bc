"""How many nodes a replica spans: what was asked for, or one where one has room."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.launching.launch_request import LaunchRequest
from supervisor.launching.resolve import resolve
from xinfer.catalog.gpu_places import NodeGpus
from xinfer.catalog.memory import GIB
from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec


def node(free: float, gib: int | None = None) -> NodeGpus:
    return NodeGpus(8, free, gib * GIB if gib else None, 9.0)


def launch(*nodes: NodeGpus, **body: Any) -> ModelSpec:
    asked = {"model_name": "qwen3", "model_size_in_billions": 32, "model_format": "pytorch", "n_worker": 2, **body}
    return resolve(LaunchRequest.read(asked), uids=(), nodes=nodes)


def test_gpus_are_those_of_each_worker() -> None:
    spec = launch(node(4), node(4), n_gpu=4)
    assert (spec.workers, spec.gpus, spec.gpus_per_replica, spec.chosen_because) == (2, 4, 8, "")


@pytest.mark.parametrize("replicas", [1, 2])
def test_is_not_split_where_single_nodes_hold_all_replicas(replicas: int) -> None:
    spec = launch(node(8), node(8), n_gpu=4, replica=replicas)
    assert (spec.workers, spec.gpus) == (1, 8)
    assert "the 8 GPUs that 2 workers of 4 would have, so a replica is not split" in spec.chosen_because


def test_is_split_where_they_hold_only_some() -> None:
    assert launch(node(8), node(4), node(4), n_gpu=4, replica=2).workers == 2


def test_without_gpus_it_is_split_as_asked() -> None:
    spec = launch(NodeGpus(), NodeGpus())
    assert (spec.workers, spec.gpus) == (2, 0)
    assert launch(node(8), n_gpu=None).workers == 2


def test_left_to_choose_it_stays_on_one_node_that_holds_the_model() -> None:
    """Qwen3 32B takes 61 GiB of weights."""
    spec = launch(node(8, 80), node(8, 80))
    assert (spec.workers, spec.gpus) == (1, 1)
    spec = launch(node(2, 24), node(2, 24))
    assert (spec.workers, spec.gpus) == (2, 2)
    assert (
        "2 nodes with 2 GPUs of 24 GiB each"
        in launch(node(2, 24), node(2, 24), model_size_in_billions=None).chosen_because
    )


def test_nodes_that_do_not_tell_of_their_memory_are_taken_whole() -> None:
    spec = launch(node(4), node(6))
    assert (spec.workers, spec.gpus) == (2, 4)


def test_parallel_sizes_say_how_many_gpus() -> None:
    spec = launch(node(4), node(4), tensor_parallel_size=4, pipeline_parallel_size=2)
    assert (spec.workers, spec.gpus) == (2, 4)
    with pytest.raises(LaunchRefused, match="expected"):
        launch(node(4), node(4), tensor_parallel_size=3)


def test_parallel_sizes_hold_where_a_replica_is_not_split() -> None:
    spec = launch(node(8), node(4), n_gpu=4, tensor_parallel_size=4)
    assert (spec.workers, spec.gpus) == (1, 8)
    assert spec.engine_args.items() >= {"tensor_parallel_size": 4, "pipeline_parallel_size": 2}.items()


def test_what_is_too_large_for_two_nodes_is_refused() -> None:
    with pytest.raises(LaunchRefused, match="32B"):
        launch(node(1, 24), node(1, 24))
