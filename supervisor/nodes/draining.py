"""Takes nodes out of use: Ray places nothing on a draining node, and Serve starts its replicas elsewhere before it ends them."""

from __future__ import annotations

import ray
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled
from ray.core.generated import autoscaler_pb2

from xinfer.errors import Conflict

_NO_DEADLINE = 0


def drain(node_id: str, why: str, *, gcs_address: str | None = None) -> None:
    """Have Ray place nothing on this node any more, for good: only a node that joins anew takes replicas again. Blocks.

    ``Conflict`` if Ray refuses. ``gcs_address`` is for processes that are not connected to the cluster.
    """
    client = GcsClient(address=gcs_address or ray.get_runtime_context().gcs_address)
    # Ray refuses the other reason, idleness, while anything runs on the node.
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, refusal = client.drain_node(node_id, reason, why, _NO_DEADLINE)
    if not accepted:
        raise Conflict(f"Ray does not drain the node: {refusal}")
