"""Where a node's warm host is found, and what it says of itself."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from xinfer.cluster.environment import MARK, socket_folder

MODULE = "worker.fork_server.process"
"""What a node runs; the cluster's part knows the host by this name alone."""


class ForkServerStage(StrEnum):
    """How far a node's fork server is."""

    STARTING = "starting"  # importing the engine; launches wait for it
    READY = "ready"  # forks an engine at once
    FAILED = "failed"  # cannot be warmed on this machine; launches start their engines themselves


@dataclass(frozen=True, slots=True)
class ForkServerState:
    """The last state that the fork server of one node wrote down."""

    pid: int
    stage: ForkServerStage
    error: str = ""
    at: float = field(default_factory=time.time)
    """Unix time in seconds."""

    @staticmethod
    def _file(home: Path) -> Path:
        return home / "run" / "warm-host.json"

    @classmethod
    def load(cls, home: Path) -> ForkServerState | None:
        """The last state written in ``home``; None if there is none or its process is gone."""
        try:
            facts = json.loads(cls._file(home).read_text())
            state = cls(**{**facts, "stage": ForkServerStage(facts["stage"])})
            os.kill(state.pid, 0)
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return state

    def save(self, home: Path) -> None:
        file = self._file(home)
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{self.pid}")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(file)


def socket_path() -> Path | None:
    """The socket of this node's host; None outside a cluster."""
    cluster_id = os.environ.get(MARK)
    if cluster_id:
        return socket_folder(cluster_id) / "warm-host.sock"
    return None
