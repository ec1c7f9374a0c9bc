"""Drains the node of this machine before it leaves: ``python -m supervisor.nodes.leave RAY_ADDRESS NODE_ID SECONDS``.

Ends when no replica runs here any more, because Serve has started all of them elsewhere, or when the time is over.
"""

from __future__ import annotations

import os
import sys
import time

from supervisor.nodes.draining import drain
from xinfer.cluster.environment import MARK
from xinfer.cluster.processes import of_cluster

_REPLICA = "ray::ServeReplica:model-"
_POLL_PERIOD_S = 0.2


def main() -> None:
    address, node_id, seconds = sys.argv[1:]
    deadline = time.monotonic() + float(seconds)
    drain(node_id, "it leaves the cluster", gcs_address=address)
    while _replicas() and time.monotonic() < deadline:
        time.sleep(_POLL_PERIOD_S)
    os._exit(0)


def _replicas() -> int:
    """Replicas of models that run on this node."""
    return sum(_REPLICA in " ".join(process.cmdline()) for process in of_cluster(os.environ[MARK]))


if __name__ == "__main__":
    main()
