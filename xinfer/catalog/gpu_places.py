"""What is known of a cluster's nodes, and the places for a model that follow from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xinfer.catalog.memory import GIB, GPU_COUNTS

_LEAST_CAPABILITY = {"fp8": 7.5, "awq": 7.5, "gptq": 6.0, "mxfp4": 8.0, "fp4": 7.5, "nvfp4": 7.5}
"""What vLLM's kernels for a format need at least, those that compute with plain numbers included."""

_FP8_UNITS = 8.9


@dataclass(frozen=True, slots=True)
class NodeGpus:
    """One node: its GPUs, the weakest of which stands for all. None is what is not known."""

    gpus: float = 0
    free: float = 0
    """GPUs that no model has."""
    gpu_bytes: int | None = None
    """Memory of each."""
    capability: float | None = None
    """CUDA's compute capability, such as 8.9."""
    memory_bytes: int | None = None
    """The machine's own, for engines without a GPU."""


@dataclass(frozen=True, slots=True)
class Place:
    """A number of GPUs of one node, as Ray may give them: the weakest of those that it can choose among."""

    gpus: float
    gpu_bytes: int
    """Of each that the model may fill."""
    gpu_gib: float
    """The whole memory of each."""
    capability: float | None

    @property
    def computes_in_fp8(self) -> bool:
        """Whether these GPUs do so; others hold weights in fp8 and compute with 16 bits."""
        return self.capability is None or self.capability >= _FP8_UNITS

    @property
    def ranks(self) -> int:
        return max(1, int(self.gpus))

    def has_kernels_for(self, format: str) -> bool:  # noqa: A002
        """Whether vLLM runs weights of that format on these GPUs, as far as is known."""
        return self.capability is None or self.capability >= _LEAST_CAPABILITY.get(format.lower(), 0.0)


def places(nodes: Sequence[NodeGpus], gpus: float | None, replicas: int, share: float) -> Iterator[Place]:
    """Where ``replicas`` can go with ``gpus`` each, or with as many as it takes (None), on few first.

    A model may fill ``share`` of each. Ray knows nothing of memory, so every node with so many free has to do.
    """
    for count in GPU_COUNTS if gpus is None else (gpus,):
        able = [node for node in nodes if node.free >= count and node.gpu_bytes]
        if not able or sum(int(node.free / count) for node in able) < replicas:
            continue
        smallest = min(node.gpu_bytes or 0 for node in able)
        capabilities = [node.capability for node in able if node.capability is not None]
        usable = int(smallest * share * min(1.0, count))
        yield Place(count, usable, smallest / GIB, min(capabilities, default=None))
