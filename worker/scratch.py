"""An engine's folder for temporary files: sockets between its processes and the like, which a killed engine leaves behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from xinfer.cluster.environment import MARK, socket_folder


def make_scratch() -> Path:
    """A new, empty folder with a short name, since sockets' paths may have about 100 bytes.

    In a cluster it is among the cluster's own sockets, which ``xinfer stop`` removes, should its worker not live to do so.
    """
    cluster_id = os.environ.get(MARK)
    return Path(tempfile.mkdtemp(prefix="xinfer-engine-", dir=socket_folder(cluster_id) if cluster_id else None))
