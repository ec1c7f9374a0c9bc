"""What a node has and how busy it is, measured there by a Ray task."""

from __future__ import annotations

from collections.abc import Iterable

import psutil
import ray

from xinfer.gpus import Gpu, gpus

_CPU_PERIOD_S = 0.2

NodeStats = dict[str, int | float | None]
"""The detailed fields of ``/v1/cluster/info``: sizes in bytes, utilization in percent."""


@ray.remote
def measure() -> NodeStats:
    """The stats of the node that this task runs on."""
    cpus = psutil.cpu_count() or 1
    memory = psutil.virtual_memory()
    return {
        "cpu_count": cpus,
        "cpu_available": round(cpus * (1 - psutil.cpu_percent(_CPU_PERIOD_S) / 100), 2),
        "mem_total": memory.total,
        "mem_used": memory.used,
        "mem_available": memory.available,
        **gpu_stats(gpus()),
    }


def gpu_stats(found: Iterable[Gpu]) -> NodeStats:
    """The sums of memory over the GPUs, and their mean utilization from 0 to 100, None without a GPU."""
    total = 0
    free = 0
    utilizations = []
    for gpu in found:
        # A GPU that is split with MIG does not report everything, and is left out of all three.
        if gpu.utilization is None or gpu.memory_total_bytes is None or gpu.memory_free_bytes is None:
            continue
        total += gpu.memory_total_bytes
        free += gpu.memory_free_bytes
        utilizations.append(gpu.utilization)

    utilization = None
    if utilizations:
        utilization = sum(utilizations) / len(utilizations)
    return {
        "gpu_vram_total": total,
        "gpu_vram_available": free,
        "gpu_utilization": utilization,
    }
