"""Which nodes a launch is to be placed on first: a plain class without Ray.

Ray places the replicas. It is given the choice as groups of nodes: it takes the first group of which a node has room, goes round
among the nodes of a group, and takes any other node if no group has room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supervisor.nodes.gpu_inventory import of_nodes
from supervisor.nodes.on_node import has_labels, suitable
from xinfer.messages import ModelSpec, ModelStatus, NodeReport

Groups = tuple[tuple[str, ...], ...]
_UNLIMITED = 1_000_000
_READY = "ready"
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that a launch may run on."""

    node: str
    """Ray's ID of it."""
    free: float = 0.0
    """GPUs that no model has."""
    has_files: bool = False
    """Whether the model's files need not be downloaded there."""
    is_warm: bool = False
    """Whether it has a process from which engines start in seconds."""

    def room(self, gpus: float) -> int:
        """Replicas of so many GPUs that it takes."""
        if gpus <= 0:
            return _UNLIMITED
        return int(self.free / gpus + _ROUNDING)

    def has_shared_room(self, gpus: float) -> bool:
        """Whether a part of a GPU of which another model has the rest is enough: no whole GPU is lost to others then."""
        return 0 < gpus < 1 and self.free % 1 + _ROUNDING >= gpus


@dataclass(frozen=True, slots=True)
class NodeChoice:
    """Asks for ``replicas`` of ``gpus`` GPUs each, on as many nodes as there are, or with ``pack`` on as few as there are."""

    replicas: int
    gpus: float
    pack: bool = False

    def groups(self, candidates: Sequence[Candidate]) -> Groups:
        """None of them where every node is as good as another one, or where nothing has room."""
        able = [each for each in candidates if each.room(self.gpus)]
        if self.pack:
            return tuple((each.node,) for each in sorted(able, key=self._for_packing))

        best = sorted(able, key=self._worth, reverse=True)
        if len(best) <= self.replicas:
            # They take a replica each, and then have another round.
            return ()
        # So many nodes that no two replicas have to share one; those that are as good as the last one belong to them.
        least = self._worth(best[self.replicas - 1])
        group = tuple(each.node for each in best if self._worth(each) >= least)
        if len(group) == len(best):
            return ()
        return (group,)

    def _worth(self, candidate: Candidate) -> tuple[bool, bool, bool]:
        return candidate.has_shared_room(self.gpus), candidate.has_files, candidate.is_warm

    def _for_packing(self, candidate: Candidate) -> tuple[bool, bool, bool, float, str]:
        """Best first; then the node that is fullest afterwards, so that others stay whole for larger models."""
        shared, files, warm = self._worth(candidate)
        return not shared, not files, not warm, candidate.free, candidate.node


def choose_nodes(
    spec: ModelSpec,
    records: Iterable[Mapping[str, Any]],
    models: Iterable[ModelStatus],
    reports: Mapping[str, NodeReport],
) -> Groups:
    """The groups for a launch. ``records`` are Ray's of the open nodes, ``reports`` by their IDs."""
    if spec.node:
        return ()
    nodes = list(records)
    if spec.wait_for_capacity and not any(has_labels(each, spec.node_labels) for each in nodes):
        # It waits for a node that is yet to come.
        return ()
    chosen = {each["NodeID"] for each in suitable([dict(each) for each in nodes], None, spec.node_labels)}
    candidates: list[Candidate] = []
    for record, gpus in zip(nodes, of_nodes(nodes, models), strict=True):
        node_id = record["NodeID"]
        if node_id in chosen:
            report = reports.get(node_id)
            files = report is not None and spec.path in report.cached_models
            warm = report is not None and report.fork_server == _READY
            candidates.append(Candidate(node_id, gpus.free, files, warm))

    replicas = spec.replicas
    if spec.autoscaling:
        replicas = max(replicas, spec.autoscaling.max_replicas)
    return NodeChoice(replicas, spec.gpus, spec.pack).groups(candidates)
