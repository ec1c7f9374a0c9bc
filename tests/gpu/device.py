"""The GPU under test, as its driver sees it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from xinfer.gpus import compute_processes, gpus

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
        return [cls(str(gpu.index), gpu.uuid, gpu.name, gpu.memory_total_mib or 0) for gpu in gpus()]

    def used_mib(self) -> int:
        """Its memory in use."""
        (gpu,) = [gpu for gpu in gpus() if gpu.uuid == self.uuid]
        assert gpu.memory_used_mib is not None
        return gpu.memory_used_mib

    def used_within(self, seconds: float, at_most_mib: int) -> int:
        """Its memory in use as soon as that is so little, or after ``seconds``."""
        deadline = time.monotonic() + seconds
        while (used := self.used_mib()) > at_most_mib and time.monotonic() < deadline:
            time.sleep(_POLL_PERIOD_S)
        return used


def processes() -> dict[int, set[str]]:
    """The UUIDs of the GPUs that each process computes on, by its id."""
    return compute_processes()
