"""A second node of a cluster on this machine, at another loopback address."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import psutil

from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import token_file
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import StartOptions
from xinfer.cluster.processes import of_cluster

_ADDRESS = "127.0.0.3"


class JoinedNode:
    """A node with one GPU, as a number that Ray counts, and without a fork server."""

    def __init__(self, head_home: Path) -> None:
        head = ClusterRecord.load(head_home)
        assert head
        self.home = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
        shutil.copy(token_file(head_home), self.home)
        self._options = StartOptions(join=head.ray_address, node_ip=_ADDRESS, num_gpus=1, warm_host=False)
        self._node = NodeLifecycle(self.home)
        self.ids: list[str] = []
        """Of the clusters' marks that its processes have had, the present one last."""

    def join(self) -> None:
        """Join, for the first time or again."""
        self._node.stop()
        for _ in self._node.start(self._options):
            pass
        record = ClusterRecord.load(self.home)
        assert record
        self.ids.append(record.id)

    def raylet(self) -> list[psutil.Process]:
        """None if it has ended."""
        return [process for process in of_cluster(self.ids[-1]) if process.name() == "raylet"]

    def leave(self) -> None:
        self._node.stop()
        shutil.rmtree(self.home, ignore_errors=True)
