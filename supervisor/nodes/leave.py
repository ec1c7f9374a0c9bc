"""Drains the node of this machine before it leaves: ``python -m supervisor.nodes.leave RAY_ADDRESS NODE_ID SECONDS``.

Ends when no replica or part of one runs here any more, because all of them have moved elsewhere, or when the time is over.
"""

from __future__ import annotations

import os
import sys
import time

from supervisor.nodes.draining import drain
from xinfer.cluster.environment import MARK
from xinfer.cluster.processes import command_line, of_cluster

# Ray names a process after its actor's class. The second is a follower of a gang (``worker.gang``).
_WORKERS = ("ray::ServeReplica:model-", "ray::Follower")
_POLL_PERIOD_S = 0.2


def main() -> None:
    address, node_id, seconds = sys.argv[1:]
    deadline = time.monotonic() + float(seconds)
    drain(node_id, "it leaves the cluster", gcs_address=address)
    while _has_workers() and time.monotonic() < deadline:
        time.sleep(_POLL_PERIOD_S)
    os._exit(0)


def _has_workers() -> bool:
    """Whether workers of models run on this node."""
    return any(command_line(process).startswith(_WORKERS) for process in of_cluster(os.environ[MARK]))


if __name__ == "__main__":
    main()
