"""What a node's agent says of its node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuReport:
    """One GPU of a node. None for what it does not report: memory that is the machine's own, or a GPU that is split."""

    index: int
    name: str
    memory_total: int | None
    """In bytes, as is ``memory_used``."""
    memory_used: int | None
    utilization: int | None
    """Percent of the time in which anything ran on it."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node as its agent measured it. Sizes in bytes."""

    node: str
    """Ray's node ID."""
    hostname: str
    version: str
    """xinfer's."""
    cpu_count: int
    cpu_percent: float
    """Of all CPUs together, since the report before."""
    memory_total: int
    memory_available: int
    disk_total: int
    """Of the disk with the hub's cache."""
    disk_free: int
    fork_server: str
    """``off``, or a stage of ``ForkServerStage``."""
    gpus: tuple[GpuReport, ...] = ()
    cached_models: tuple[str, ...] = ()
    """Ids of the repositories in the hub's cache, whole or not."""
    python: str = ""
    ray: str = ""
    vllm: str | None = None
    """Versions; None without vLLM."""
    measured_at: float = 0.0
    """Unix time in seconds, by the registry's clock, at which the report came."""
