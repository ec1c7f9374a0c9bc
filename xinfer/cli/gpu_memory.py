"""The GPUs that the command line counts with: those of the cluster, or some that one asks about."""

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
    """Where the figure is from, to be read after it."""


def gpu_memory(client: RESTfulClient, asked_gib: float | None) -> GpuMemory:
    """What was asked for, else that of the cluster's smallest GPUs, else a usual one's."""
    if asked_gib is not None:
        return GpuMemory(asked_gib, "asked for")
    try:
        nodes = client.cluster_info(detailed=True)
    except XinferError:
        return GpuMemory(_USUAL_GIB, "assumed: no server answers; --gpu-memory names another")
    sizes = [node["gpu_vram_total"] / node["gpu_count"] for node in nodes if _tells(node)]
    if not sizes:
        return GpuMemory(_USUAL_GIB, "assumed: the cluster's nodes do not tell; --gpu-memory names another")
    return GpuMemory(min(sizes) / _GIB, "the cluster's")


def _tells(node: dict[str, float]) -> bool:
    return bool(node.get("gpu_count") and node.get("gpu_vram_total"))
