"""Which nodes are to have which models' files before a replica is decided for. A plain class without Ray or clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from supervisor.nodes.on_node import Node, suitable
from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec, ModelState, ModelStatus

_BACKOFF_S = 60.0
_LONGEST_BACKOFF_S = 3600.0


@dataclass(frozen=True, slots=True)
class Fetch:
    """Bring the files of ``spec`` to ``node``, and say how that ended."""

    spec: ModelSpec
    node: Node

    @property
    def key(self) -> tuple[str, float, str]:
        """Of this launch at this node."""
        return self.spec.uid, self.spec.created_at, self.node["NodeID"]


@dataclass(slots=True)
class _Progress:
    is_under_way: bool = False
    is_done: bool = False
    backoff_s: float = _BACKOFF_S
    not_before: float = field(default=0.0)


class Prewarming:
    """Models with autoscaling get their files on every node that may have a replica of theirs, one node after the other.

    A node has its spare Ray process and its fork server from its start on, for every model.
    """

    def __init__(self) -> None:
        self._progress: dict[tuple[str, float, str], _Progress] = {}

    def next(self, models: Mapping[str, ModelStatus], nodes: Iterable[Node], now: float) -> list[Fetch]:
        """What is to begin now. ``nodes`` are those that take replicas; ``now`` is of a clock that does not go back."""
        places = list(nodes)
        wanted: list[Fetch] = []
        for model in models.values():
            wanted += _fetches(model, places)
        there = {fetch.key for fetch in wanted}
        self._progress = {key: self._progress[key] for key in self._progress if key in there}
        chosen: list[Fetch] = []
        for fetch in wanted:
            progress = self._progress.setdefault(fetch.key, _Progress())
            if progress.is_done or progress.is_under_way or now < progress.not_before:
                continue
            if not self._is_busy(fetch.spec.uid):
                progress.is_under_way = True
                chosen.append(fetch)
        return chosen

    def ended(self, fetch: Fetch, now: float, *, is_there: bool) -> None:
        """The files are there, or could not be brought: that is tried again later."""
        progress = self._progress.get(fetch.key)
        if progress is None:
            return
        progress.is_under_way = False
        progress.is_done = is_there
        if not is_there:
            progress.not_before = now + progress.backoff_s
            progress.backoff_s = min(2 * progress.backoff_s, _LONGEST_BACKOFF_S)

    def _is_busy(self, uid: str) -> bool:
        return any(progress.is_under_way for (name, _, _), progress in self._progress.items() if name == uid)


def _fetches(model: ModelStatus, nodes: list[Node]) -> list[Fetch]:
    """To all nodes that may have a replica and have none. A folder is there, or it is not for us to bring it."""
    spec = model.spec
    if spec.autoscaling is None or model.state is not ModelState.READY or spec.path.startswith("/"):
        return []
    try:
        found = suitable(nodes, spec.node, spec.node_labels)
    except LaunchRefused:
        return []
    taken = {report.node for report in model.targets}
    fits = [node for node in found if (node.get("Resources") or {}).get("GPU", 0) >= spec.gpus]
    return [Fetch(spec, node) for node in fits if node["NodeManagerAddress"] not in taken]
