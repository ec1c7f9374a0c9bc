"""What is remembered of the cluster that this machine runs: one small JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """A node of a cluster, from its start until its stop."""

    id: str
    endpoint: str | None
    """REST address; None on a node that joined another's cluster."""
    ray_address: str
    started_at: float
    requires_keys: bool = False
    """Whether its REST API answers nobody without a key."""

    @staticmethod
    def _file(home: Path) -> Path:
        return home / "run" / "cluster.json"

    @classmethod
    def load(cls, home: Path) -> ClusterRecord | None:
        """The record in ``home``, None if there is none."""
        try:
            return cls(**json.loads(cls._file(home).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def save(self, home: Path) -> None:
        file = self._file(home)
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(file)

    @classmethod
    def forget(cls, home: Path) -> None:
        cls._file(home).unlink(missing_ok=True)
