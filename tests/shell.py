"""The command line as a person has it, with a folder and a port of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from xinfer.cluster.cluster_record import ClusterRecord


@dataclass
class Shell:
    """A folder of its own to start clusters in."""

    home: Path
    port: int

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "xinfer.cli", *words]

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "XINFER_HOME": str(self.home), "XINFER_ENDPOINT": f"http://127.0.0.1:{self.port}"}

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*words), env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )

    @property
    def record(self) -> ClusterRecord | None:
        return ClusterRecord.load(self.home)
