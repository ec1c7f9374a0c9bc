"""Memory of the machine's GPUs, as the driver counts it."""

from __future__ import annotations

from xinfer.gpus import gpus


def used_mib() -> dict[str, int]:
    """In use on each GPU by its UUID, by anybody's processes; without GPUs that do not report it."""
    used: dict[str, int] = {}
    for gpu in gpus():
        if gpu.memory_used_mib is not None:
            used[gpu.uuid] = gpu.memory_used_mib
    return used
