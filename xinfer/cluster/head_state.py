"""What Ray knows of a cluster, kept on the head's disk, so that a head that was lost can be started again."""

from __future__ import annotations

import shutil
from pathlib import Path


class HeadState:
    """Ray's tables in RocksDB (alpha in Ray 2.60) and the address at which the other nodes look for the head.

    A head that starts with them takes over the nodes and actors that outlived the last one.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "head-state"
        self._address = self.folder / "address"

    @property
    def ray_address(self) -> str | None:
        """``HOST:PORT`` of the head that kept this state; None if there is no state."""
        try:
            return self._address.read_text()
        except FileNotFoundError:
            return None

    def keep(self, ray_address: str) -> None:
        """Note the address of the head that is about to start."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._address.write_text(ray_address)

    def environment(self) -> dict[str, str]:
        """What has Ray's head store its tables here."""
        return {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(self.folder / "gcs")}

    def forget(self) -> None:
        """Remove the state: the next start is that of a new cluster."""
        shutil.rmtree(self.folder, ignore_errors=True)
