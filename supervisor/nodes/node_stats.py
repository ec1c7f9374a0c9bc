"""What a node has and how busy it is: measured there, by a Ray task."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import ray

from xinfer.nvidia_smi import number, query_gpus, rows

_SMI_TIMEOUT_S = 10.0
_CPU_PERIOD_S = 0.2
_MIB = 1024**2

Figures = dict[str, int | float | None]


@ray.remote
def measure() -> Figures:
    """The detailed fields of ``/v1/cluster/info``, sizes in bytes."""
    cpus = psutil.cpu_count() or 1
    memory = psutil.virtual_memory()
    return {
        "cpu_count": cpus,
        "cpu_available": round(cpus * (1 - psutil.cpu_percent(_CPU_PERIOD_S) / 100), 2),
        "mem_total": memory.total,
        "mem_used": memory.used,
        "mem_available": memory.available,
        **gpu_figures(query_gpus("memory.total", "memory.free", "utilization.gpu", timeout_s=_SMI_TIMEOUT_S)),
    }


def gpu_figures(lines: str | None) -> Figures:
    """The sums over the GPUs in ``lines``, as ``nvidia-smi`` prints them; the utilization is their mean, from 0 to 100."""
    gpus = list(_numbers(lines))
    return {
        "gpu_vram_total": sum(total for total, _, _ in gpus) * _MIB,
        "gpu_vram_available": sum(free for _, free, _ in gpus) * _MIB,
        "gpu_utilization": sum(busy for _, _, busy in gpus) / len(gpus) if gpus else None,
    }


def _numbers(lines: str | None) -> Iterator[tuple[int, int, int]]:
    for cells in rows(lines, 3):
        total, free, busy = map(number, cells)
        if total is not None and free is not None and busy is not None:  # a shared GPU may not tell
            yield total, free, busy
