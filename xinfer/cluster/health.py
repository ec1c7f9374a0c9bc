"""Whether the node of this machine is well: ``python -m xinfer.cluster.health``, for containers. Exits with 1 if it is not.

On a head the REST API has to answer; on a node that has joined, its processes have to be there. Unlike ``xinfer status`` it asks
no other node, so it is quick where that one waits.
"""

from __future__ import annotations

import sys
from pathlib import Path

from xinfer import settings
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.processes import of_cluster
from xinfer.reachable import open_directly

_TIMEOUT_S = 5.0


def unwell(home: Path) -> str:
    """Why the node is not well; empty if it is."""
    record = ClusterRecord.load(home)
    if record is None:
        return "nothing runs here"
    if record.endpoint is None:
        return "" if of_cluster(record.id) else "its processes are gone"
    try:
        with open_directly(f"{record.endpoint}/health", timeout=_TIMEOUT_S):
            return ""
    except OSError as error:
        return f"{record.endpoint} does not answer: {error}"


if __name__ == "__main__":
    # An empty text would count as a failure, too.
    sys.exit(unwell(settings.home()) or 0)
