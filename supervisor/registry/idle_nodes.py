"""Nodes that Ray's autoscaler may end, as a plain class.

Ray takes a node for busy as long as any actor is on it, so its agent has to leave first. Ray's own idle timeout begins then.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from supervisor.nodes.on_node import Node, is_autoscaled

_AUTOSCALER = "RAY_enable_autoscaler_v2"
"""Set on the head by `ray up` and KubeRay where they run Ray's autoscaler."""
# So that the log of a replica that has just failed can be read.
_GRACE_S = 30.0


def autoscaler_runs() -> bool:
    """Whether there is an autoscaler that would end nodes."""
    return os.environ.get(_AUTOSCALER) == "1"


class IdleNodes:
    """Remembers since when each node has had nothing to do. Times are of a clock that does not go back, in seconds."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._since: dict[str, float] = {}

    def among(self, nodes: Iterable[Node], in_use: set[str], now: float) -> set[str]:
        """The IDs of the nodes that have had no replica for a while; ``in_use`` are the addresses with replicas."""
        if not self._enabled:
            return set()
        idle = [node["NodeID"] for node in nodes if is_autoscaled(node) and node["NodeManagerAddress"] not in in_use]
        self._since = {node_id: self._since.get(node_id, now) for node_id in idle}
        return {node_id for node_id, since in self._since.items() if now - since >= _GRACE_S}
