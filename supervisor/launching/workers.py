"""How many nodes a replica of a launch spans, and how many GPUs it has on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from supervisor.launching.launch_request import LaunchRequest
from xinfer.catalog.gpu_places import NodeGpus, replicas_that_fit
from xinfer.errors import LaunchRefused


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of a replica."""

    count: int
    gpus: float
    """Of each."""
    why: str = ""
    """Why it is not what was asked for; empty if it is."""


def check_workers(request: LaunchRequest) -> None:
    """``LaunchRefused`` for what a replica that spans nodes cannot have."""
    if request.workers == 1:
        return
    if request.node:
        raise LaunchRefused(
            f"worker_ip names one node, and n_worker={request.workers} takes as many; leave one of them out.",
            param="worker_ip",
        )
    gpus = request.gpus
    if gpus is not None and 0 < gpus < 1:
        raise LaunchRefused(
            f"n_gpu={gpus:g}: a worker of several has whole GPUs, or 'none'; a share of one is for a replica on one node.",
            param="n_gpu",
        )


def gather(asked: int, gpus: float, replicas: int, nodes: Sequence[NodeGpus]) -> Workers:
    """``asked`` workers of ``gpus`` GPUs, or one with all of them where ``nodes`` have room for every replica on one node."""
    together = gpus * asked
    if asked == 1 or not gpus or replicas_that_fit([node.free for node in nodes], together) < replicas:
        return Workers(asked, gpus)
    where = "One node has" if replicas == 1 else "Single nodes have"
    why = f"{where} the {together:g} GPUs that {asked} workers of {gpus:g} would have, so a replica is not split."
    return Workers(1, together, why)
