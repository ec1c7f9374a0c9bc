"""What the cluster's nodes have, and what of it no model has taken: the facts by which a launch is fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ray

from xinfer.catalog.gpu_places import NodeGpus
from xinfer.cluster.gpu_labels import gpu_labels
from xinfer.messages import ModelState, ModelStatus
from xinfer.names import GPU_CAPABILITY_LABEL, GPU_MEMORY_LABEL

_MIB = 1024**2
_HOLDS_NOTHING = (ModelState.FAILED, ModelState.CANCELLED, ModelState.SLEEPING)


def look(models: Iterable[ModelStatus]) -> list[NodeGpus]:
    """Every node that is alive, with the GPUs that ``routes`` leave of it. Blocks on Ray."""
    return nodes([node for node in ray.nodes() if node["Alive"]], models)


def nodes(alive: Iterable[Mapping[str, Any]], models: Iterable[ModelStatus]) -> list[NodeGpus]:
    """The same by Ray's own records of nodes.

    GPUs of replicas without a place yet are taken off where most are free, so that two launches do not count on the same ones.
    """
    facts = list(alive)
    free = [float(node["Resources"].get("GPU", 0)) for node in facts]
    for address, gpus in _held(models):
        here = [number for number, node in enumerate(facts) if address in (None, node["NodeManagerAddress"])]
        if here:
            fullest = max(here, key=free.__getitem__)
            free[fullest] = max(0.0, free[fullest] - gpus)
    return [_node(node, left) for node, left in zip(facts, free, strict=True)]


def this_machine(gpus: float) -> list[NodeGpus]:
    """This machine as the only node of a cluster, with so many GPUs and no model."""
    return nodes([{"NodeManagerAddress": "", "Resources": {"GPU": gpus}, "Labels": gpu_labels()}], ())


def gpu_bytes(node: Mapping[str, Any]) -> int | None:
    """The memory of each GPU of a node, by Ray's record of it; None if the node has not said."""
    text = (node.get("Labels") or {}).get(GPU_MEMORY_LABEL)
    if text:
        return int(float(text) * _MIB)
    return None


def _node(node: Mapping[str, Any], free: float) -> NodeGpus:
    resources = node["Resources"]
    labels = node.get("Labels") or {}
    capability = labels.get(GPU_CAPABILITY_LABEL)
    return NodeGpus(
        gpus=float(resources.get("GPU", 0)),
        free=free,
        gpu_bytes=gpu_bytes(node),
        capability=float(capability) if capability else None,
        memory_bytes=int(resources.get("memory", 0)) or None,
    )


def _held(models: Iterable[ModelStatus]) -> Iterable[tuple[str | None, float]]:
    """The GPUs of each replica, with the address of its node; those that look for a place come last, without one."""
    holding = [model for model in models if model.spec.gpus and model.state not in _HOLDS_NOTHING]
    for model in holding:
        yield from ((report.node, model.spec.gpus) for report in model.replicas)
    for model in holding:
        yield from [(None, model.spec.gpus)] * max(0, model.spec.replicas - len(model.replicas))
