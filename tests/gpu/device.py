"""The GPU under test, as its driver sees it."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

from xinfer.nvidia_smi import query_gpus, rows

_POLL_PERIOD_S = 0.05


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU of this machine. All figures are in MiB and count everybody's processes."""

    index: str
    uuid: str
    name: str
    total_mib: int

    @classmethod
    def all(cls) -> list[Device]:
        """Every GPU of this machine; none without one or without a driver."""
        table = query_gpus("index", "uuid", "name", "memory.total")
        return [cls(index, uuid, name, int(mib)) for index, uuid, name, mib in rows(table, 4)]

    def used_mib(self) -> int:
        """Its memory in use."""
        return next(int(mib) for index, mib in rows(query_gpus("index", "memory.used"), 2) if index == self.index)

    def used_within(self, seconds: float, at_most_mib: int) -> int:
        """Its memory in use as soon as that is so little, or after ``seconds``."""
        deadline = time.monotonic() + seconds
        while (used := self.used_mib()) > at_most_mib and time.monotonic() < deadline:
            time.sleep(_POLL_PERIOD_S)
        return used


def processes() -> dict[int, set[str]]:
    """The UUIDs of the GPUs that each process computes on, by its id."""
    argv = ["nvidia-smi", "--query-compute-apps=pid,gpu_uuid", "--format=csv,noheader"]
    table = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout
    found: dict[int, set[str]] = {}
    for pid, uuid in rows(table, 2):
        found.setdefault(int(pid), set()).add(uuid)
    return found
