"""The GPU memory that `xinfer models` calculates with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xinfer.errors import XinferError

if TYPE_CHECKING:
    from xinfer.client import RESTfulClient

_USUAL_GIB = 80.0
_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class GpuMemory:
    gib: float
    source: str
    """Where ``gib`` is from, as it is printed behind it."""


def gpu_memory(client: RESTfulClient, option_gib: float | None) -> GpuMemory:
    """That of the option, else of the cluster's smallest GPUs, else of a usual GPU."""
    if option_gib is not None:
        return GpuMemory(option_gib, "--gpu-memory")
    try:
        nodes = client.cluster_info(detailed=True)
    except XinferError:
        return GpuMemory(_USUAL_GIB, "assumed, as there is no server; set it with --gpu-memory")
    per_gpu: list[float] = []
    for node in nodes:
        count = node.get("gpu_count")
        total = node.get("gpu_vram_total")
        # Nodes without NVML have GPUs of unknown memory.
        if count and total:
            per_gpu.append(total / count)
    if not per_gpu:
        return GpuMemory(_USUAL_GIB, "assumed, as the cluster's is not known; set it with --gpu-memory")
    # The smallest: Ray may place a model on any of them.
    return GpuMemory(min(per_gpu) / _GIB, "the cluster's")
