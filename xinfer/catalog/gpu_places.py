"""The GPUs of a cluster's nodes, and the places on them that can run a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xinfer.catalog.memory import GIB, GPU_COUNTS

_LEAST_CAPABILITY = {"fp8": 7.5, "awq": 7.5, "gptq": 6.0, "mxfp4": 8.0, "fp4": 7.5, "nvfp4": 7.5}
"""The least compute capability of vLLM's kernels for a format, also of those that compute with plain numbers."""

# CUDA's compute capability of Ada, the first GPUs that compute in fp8.
_FP8_UNITS = 8.9
# Sums of fractions of GPUs are a little off.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class NodeGpus:
    """One node and its GPUs, described by the weakest of them. None means unknown."""

    gpus: float = 0
    free: float = 0
    """GPUs that no model uses."""
    gpu_bytes: int | None = None
    """Memory of each GPU."""
    capability: float | None = None
    """CUDA's compute capability, such as 8.9."""
    memory_bytes: int | None = None
    """The machine's own memory, for engines on the CPU."""


@dataclass(frozen=True, slots=True)
class Place:
    """A number of GPUs of each of some nodes, usually one, described by the weakest that Ray may choose."""

    gpus: float
    gpu_bytes: int
    """Memory of each GPU that the model may use."""
    gpu_gib: float
    """The whole memory of each GPU."""
    capability: float | None
    workers: int = 1
    """Nodes that it takes."""

    @property
    def computes_in_fp8(self) -> bool:
        """Whether these GPUs compute in fp8; older ones store weights in fp8 and compute with 16 bits."""
        return self.capability is None or self.capability >= _FP8_UNITS

    @property
    def ranks(self) -> int:
        return self.ranks_on_each * self.workers

    @property
    def ranks_on_each(self) -> int:
        return max(1, int(self.gpus))

    def has_kernels_for(self, format: str) -> bool:  # noqa: A002
        """Whether vLLM runs weights of that format on these GPUs, as far as is known."""
        # An unknown capability is no reason to refuse: the engine checks it again.
        return self.capability is None or self.capability >= _LEAST_CAPABILITY.get(format.lower(), 0.0)


def places(
    nodes: Sequence[NodeGpus], gpus: float | None, replicas: int, share: float, workers: int = 1
) -> Iterator[Place]:
    """Where ``replicas`` can run, the fewest GPUs first.

    Each has ``gpus``, or any number of them (None), on each of ``workers`` nodes. A model may use ``share`` of each GPU's
    memory.
    """
    counts: Sequence[float] = GPU_COUNTS if gpus is None else (gpus,)
    for count in counts:
        able = [node for node in nodes if node.free >= count and node.gpu_bytes]
        if not able or replicas_that_fit([node.free for node in able], count, workers) < replicas:
            continue
        # Ray does not schedule by memory: it may choose any of these nodes, so the weakest decides.
        smallest = min(node.gpu_bytes or 0 for node in able)
        capabilities = [node.capability for node in able if node.capability is not None]
        usable = int(smallest * share * min(1.0, count))
        yield Place(count, usable, smallest / GIB, min(capabilities, default=None), workers)


def replicas_that_fit(free: Sequence[float], gpus: float, workers: int = 1) -> int:
    """How many replicas have room on nodes with ``free`` GPUs, if each has ``gpus`` on each of ``workers`` nodes.

    ``gpus`` is above 0.
    """
    places = [int((each + _ROUNDING) / gpus) for each in free]
    count = sum(places) // workers
    # A node has at most one worker of each replica.
    while count and sum(min(place, count) for place in places) < count * workers:
        count -= 1
    return count


def whole_nodes(nodes: Sequence[NodeGpus], workers: int) -> float:
    """The most whole GPUs that ``workers`` nodes have free, each; 1 if they have none, and 0 in a cluster without GPUs."""
    if not any(node.gpus for node in nodes):
        return 0
    free = sorted((node.free for node in nodes), reverse=True)
    if len(free) < workers:
        return 1
    return max(1, int(free[workers - 1]))
