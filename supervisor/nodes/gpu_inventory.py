"""The cluster's GPUs and which of them no model has, by Ray's records of nodes and the table of models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from supervisor.nodes.on_node import has_labels, open_nodes, suitable
from xinfer.catalog.gpu_places import NodeGpus
from xinfer.cluster.gpu_labels import gpu_labels
from xinfer.messages import ModelSpec, ModelState, ModelStatus
from xinfer.names import GPU_CAPABILITY_LABEL, GPU_MEMORY_LABEL

_MIB = 1024**2
_HOLDS_NOTHING = (ModelState.FAILED, ModelState.CANCELLED, ModelState.SLEEPING)


def gpu_inventory(
    models: Iterable[ModelStatus], address: str | None = None, labels: Mapping[str, str] = MappingProxyType({})
) -> list[NodeGpus]:
    """The nodes that take new replicas, with the GPUs that ``models`` leave free on each. Blocks on Ray.

    Only those at ``address`` and with ``labels``, if these are given; ``LaunchRefused`` if there is none.
    """
    records = open_nodes()
    chosen = {node["NodeID"] for node in suitable(records, address, labels)}
    # All are counted first: a replica that has no place yet may get one on any node.
    every = zip(records, of_nodes(records, models), strict=True)
    return [gpus for record, gpus in every if record["NodeID"] in chosen]


def of_nodes(alive: Iterable[Mapping[str, Any]], models: Iterable[ModelStatus]) -> list[NodeGpus]:
    """``gpu_inventory`` of the nodes that these records of ``ray.nodes()`` describe, in their order."""
    records = list(alive)
    free = [float(record["Resources"].get("GPU", 0)) for record in records]

    for addresses, spec in _held(models):
        taken = _nodes_of(addresses, spec, records, free)
        for number in taken:
            free[number] = max(0.0, free[number] - spec.gpus)

    return [_node(record, left) for record, left in zip(records, free, strict=True)]


def this_machine(gpus: float) -> list[NodeGpus]:
    """A cluster of one node: this machine, with ``gpus`` GPUs and nothing running."""
    record = {"NodeManagerAddress": "", "Resources": {"GPU": gpus}, "Labels": gpu_labels()}
    return of_nodes([record], ())


def gpu_bytes(node: Mapping[str, Any]) -> int | None:
    """The memory of each GPU of a node, by its label in Ray; None if it has none."""
    text = (node.get("Labels") or {}).get(GPU_MEMORY_LABEL)
    if text:
        return int(float(text) * _MIB)
    return None


def _node(record: Mapping[str, Any], free: float) -> NodeGpus:
    resources = record["Resources"]
    labels = record.get("Labels") or {}
    capability = labels.get(GPU_CAPABILITY_LABEL)
    return NodeGpus(
        gpus=float(resources.get("GPU", 0)),
        free=free,
        gpu_bytes=gpu_bytes(record),
        capability=float(capability) if capability else None,
        memory_bytes=int(resources.get("memory", 0)) or None,
    )


def _nodes_of(
    addresses: list[str | None], spec: ModelSpec, records: list[Mapping[str, Any]], free: list[float]
) -> list[int]:
    """The numbers of the nodes that a replica's workers are on, or count for; fewer than ``addresses`` where there is none."""
    taken: list[int] = []
    for address in addresses:
        here = []
        for number, record in enumerate(records):
            # A node has at most one worker of each replica.
            if number not in taken and address in (None, record["NodeManagerAddress"]):
                here.append(number)
        if address is None and spec.wait_for_capacity:
            # It waits for a node that is yet to come, and leaves those alone where it finds no room.
            here = [
                number for number in here if free[number] >= spec.gpus and has_labels(records[number], spec.node_labels)
            ]
            if not here:
                return taken if any(addresses) else []
        if here:
            # A pending worker counts where most GPUs are free, so that two launches do not plan with the same ones.
            taken.append(max(here, key=free.__getitem__))
    return taken


def _held(models: Iterable[ModelStatus]) -> Iterable[tuple[list[str | None], ModelSpec]]:
    """The addresses of each replica's workers, and the model.

    The address of a pending worker is None; replicas that have not reported come last.
    """
    holding = [model for model in models if model.spec.gpus and model.state not in _HOLDS_NOTHING]

    for model in holding:
        for report in model.replicas:
            known: list[str | None] = list(report.nodes)
            yield [*known, *[None] * (model.spec.workers - len(known))], model.spec

    for model in holding:
        pending = model.spec.replicas - len(model.replicas)
        for _ in range(pending):
            yield [None] * model.spec.workers, model.spec
