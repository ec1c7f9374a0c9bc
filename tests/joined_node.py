"""A second node of a cluster on this machine, at another loopback address."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psutil

from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import token_file
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import StartOptions
from xinfer.cluster.processes import of_cluster


class JoinedNode:
    """A node with GPUs, as a number that Ray counts, and without a fork server unless ``warm_host`` is true."""

    def __init__(
        self,
        head_home: Path,
        address: str = "127.0.0.3",
        *,
        num_gpus: int = 1,
        labels: Mapping[str, str] | None = None,
        warm_host: bool = False,
    ) -> None:
        head = ClusterRecord.load(head_home)
        assert head
        self.home = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
        shutil.copy(token_file(head_home), self.home)
        self.address = address
        self._options = StartOptions(
            join=head.ray_address, node_ip=address, num_gpus=num_gpus, labels=labels or {}, warm_host=warm_host
        )
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

    def kill(self) -> None:
        """All of its processes, at once."""
        for process in of_cluster(self.ids[-1]):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def drain(self, timeout_s: float) -> None:
        """What ``xinfer stop`` does first."""
        self._node.drain(timeout_s)

    def leave(self) -> None:
        self._node.stop()
        shutil.rmtree(self.home, ignore_errors=True)
