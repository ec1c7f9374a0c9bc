"""Whether nodes have room for a model's replicas."""

from __future__ import annotations

from collections.abc import Sequence

from xinfer.catalog.gpu_places import NodeGpus, replicas_that_fit
from xinfer.messages import ModelSpec

# Sums of fractions of GPUs are a little off.
_ROUNDING = 1e-6


def lack_of_room(spec: ModelSpec, nodes: Sequence[NodeGpus]) -> str | None:
    """What is asked for and what ``nodes``, those that it may run on, have; None if that is enough."""
    is_bound = bool(spec.node or spec.node_labels)
    if spec.workers > 1:
        return _lack_for_gangs(spec, nodes, is_bound=is_bound)
    if spec.gpus <= 0:
        return None

    asked = spec.gpus * spec.replicas
    free = sum(node.free for node in nodes)
    largest = max((node.gpus for node in nodes), default=0.0)
    if spec.gpus <= largest and asked <= free + _ROUNDING:
        return None
    return (
        f"{asked:g} GPUs are asked for ({spec.replicas} replicas of {spec.gpus:g}); {_gpus_there(nodes, is_bound)}, at most "
        f"{largest:g} on one node. "
        "Ask for fewer with --n-gpu or --replica, terminate another model, add a node, or wait for one "
        "with --wait-for-capacity."
    )


def _lack_for_gangs(spec: ModelSpec, nodes: Sequence[NodeGpus], *, is_bound: bool) -> str | None:
    replicas = "1 replica" if spec.replicas == 1 else f"{spec.replicas} replicas"
    if spec.gpus <= 0:
        if len(nodes) >= spec.workers:
            return None
        there = "nodes that it may run on" if is_bound else "nodes"
        return (
            f"{replicas} of {spec.workers} workers, each on a node of its own, are asked for; {there}: {len(nodes)}. "
            "Ask for fewer with --n-worker, or add a node."
        )

    if replicas_that_fit([node.free for node in nodes], spec.gpus, spec.workers) >= spec.replicas:
        return None
    able = sum(node.free + _ROUNDING >= spec.gpus for node in nodes)
    return (
        f"{replicas} of {spec.workers} workers with {spec.gpus:g} GPUs each are asked for, every worker of a replica on "
        f"a node of its own; {_gpus_there(nodes, is_bound)}, and {able} nodes have {spec.gpus:g} or more of them free. "
        "Ask for fewer with --n-gpu, --n-worker or --replica, terminate another model, add a node, or wait for one "
        "with --wait-for-capacity."
    )


def _gpus_there(nodes: Sequence[NodeGpus], is_bound: bool) -> str:
    total = sum(node.gpus for node in nodes)
    free = sum(node.free for node in nodes)
    there = "the nodes that it may run on have" if is_bound else "the cluster has"
    return f"{there} {total:g}, {free:g} of them free"
