"""The command line as a person has it, with a folder and a port of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.ports import free_port


def haproxy_ports() -> dict[str, str]:
    """Variables that give HAProxy ports of its own: the usual ones may be taken by a cluster that starts at the same moment."""
    return {f"RAY_SERVE_HAPROXY_{name}_PORT": str(free_port("127.0.0.1")) for name in ("METRICS", "STATS")}


@dataclass
class Shell:
    """A folder of its own to start clusters in."""

    home: Path
    port: int
    haproxy_ports: dict[str, str] = field(default_factory=haproxy_ports)

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "xinfer.cli", *words]

    @property
    def env(self) -> dict[str, str]:
        own = {"XINFER_HOME": str(self.home), "XINFER_ENDPOINT": f"http://127.0.0.1:{self.port}"}
        return {**os.environ, **self.haproxy_ports, **own}

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*words), env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )

    @property
    def record(self) -> ClusterRecord | None:
        return ClusterRecord.load(self.home)
