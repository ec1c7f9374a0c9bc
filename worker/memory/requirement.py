"""Minimum memory for a launch, and the error when a node lacks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.memory.limits import MemoryLimits
from worker.memory.node_memory import Memory
from xinfer.catalog.memory import GIB, MemoryEstimate

_ROUNDING = 0.98
"""CUDA counts a GPU's memory a little smaller than NVML does."""
_ADVICE_GPU = (
    "give a shorter --context-length, more --n-gpu, a quantized format, or a larger share "
    "(a larger fraction of --n-gpu, or XINFER_GPU_MEMORY_SHARE)"
)
_ADVICE_MACHINE = (
    "launch a smaller or a quantized model, give it a smaller --kv-cache-gib, or have another model sleep or terminated"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an engine will not be started."""

    message: str
    is_final: bool
    """Whether it stays so even if everything else on the node ends."""


@dataclass(frozen=True, slots=True)
class MemoryRequirement:
    """Minimum memory of one engine."""

    estimate: MemoryEstimate
    """Of each of its processes, with the KV cache for one request of full length."""
    limits: MemoryLimits
    ranks: int = 1
    """Processes that share the model, each with a GPU of its own or all in the machine's memory."""
    longest_request: int = 0
    """Tokens of the longest request that ``limits.kv_cache_bytes`` could hold."""

    @property
    def weights_bytes(self) -> int:
        return self.estimate.weights_bytes or 0

    @property
    def kv_cache_bytes(self) -> int:
        """In one process: as much as it is given to lay out, else the least that serves a
        request of full length.
        """
        given = self.limits.kv_cache_bytes
        if given is None:
            return self.estimate.kv_cache_bytes
        return given

    def takes_bytes(self, memories: Sequence[Memory]) -> int:
        """What it is going to take of each of these GPUs, or of the machine."""
        share = self.limits.gpu_share
        if share is not None:
            return int(min(each.total_bytes for each in memories) * share)
        return self.ranks * (self.weights_bytes + self.kv_cache_bytes) + self.estimate.overhead_bytes

    def refusal_by_cache(self) -> Refusal | None:
        """Why its KV cache is too small for a request of full length, which vLLM would find
        only after loading.
        """
        given = self.limits.kv_cache_bytes
        if given is None or self.estimate.unknown or self.estimate.kv_cache_bytes <= given:
            return None
        return Refusal(
            f"A request of {self.estimate.tokens} tokens, the context length, needs {_gib(self.estimate.kv_cache_bytes)} of KV "
            f"cache, and {_gib(given)} are set, enough for {self.longest_request}: give a --context-length of at most "
            f"{self.longest_request}, or a larger --kv-cache-gib{_or_setting(self.limits)}.",
            is_final=True,
        )

    def refusal(self, memories: Sequence[Memory], margin_bytes: int) -> Refusal | None:
        """Why it does not fit into these GPUs, or into the machine, which keeps
        ``margin_bytes``; lasting reasons come first.
        """
        on_gpus = self.limits.gpu_share is not None
        if on_gpus:
            by_node = self.refusal_by_gpus(memories)
        else:
            by_node = self.refusal_by_machine(memories[0], margin_bytes)
        if by_node and by_node.is_final:
            return by_node
        return self.refusal_by_cache() or by_node

    def refusal_by_machine(self, memory: Memory, margin_bytes: int) -> Refusal | None:
        """Why it does not fit into the memory of a machine that shall have ``margin_bytes``
        left.
        """
        total = self.takes_bytes([memory])
        if total <= memory.free_bytes - margin_bytes:
            return None
        return Refusal(
            f"The model needs {_gib(total)} of memory ({self._parts(self.ranks)}), and of this node's {_gib(memory.total_bytes)} "
            f"{_gib(memory.free_bytes)} are free, {_gib(margin_bytes)} of which stay with the machine: {_ADVICE_MACHINE}.",
            is_final=total > memory.total_bytes - margin_bytes,
        )

    def refusal_by_gpus(self, memories: Sequence[Memory]) -> Refusal | None:
        """Why it does not fit into its share of each of these GPUs, or why that share is
        not free.
        """
        share = self.limits.gpu_share or 1.0
        smallest = min(each.total_bytes for each in memories)
        fullest = min(memories, key=lambda each: each.free_bytes)
        total = self.weights_bytes + self.kv_cache_bytes + self.estimate.overhead_bytes
        if total > smallest * share:
            return Refusal(
                f"The model needs {_gib(total)} on {_each(self.ranks)} ({self._parts()}), and its share of {share:g} of "
                f"{_gib(smallest)} is {_gib(smallest * share)}: {_ADVICE_GPU}.",
                is_final=True,
            )
        if fullest.free_bytes < fullest.total_bytes * share * _ROUNDING:
            return Refusal(
                f"The model's share of {share:g} of a GPU is {_gib(fullest.total_bytes * share)} ({self._parts()}, the rest for "
                f"more requests), and {_gib(fullest.free_bytes)} of {_gib(fullest.total_bytes)} are free: have another model "
                "sleep or terminated, or give this one a smaller share (a fraction as --n-gpu).",
                is_final=False,
            )
        return None

    def _parts(self, times: int = 1) -> str:
        given = self.limits.kv_cache_bytes is not None
        cache = f"KV cache {_gib(times * self.kv_cache_bytes)} {'as set' if given else f'for {self.estimate.tokens} tokens'}"
        overhead = f"overhead {_gib(self.estimate.overhead_bytes)}"
        return ", ".join((f"weights {_gib(times * self.weights_bytes)}", cache, overhead))


def _gib(size: float) -> str:
    return f"{size / GIB:.2f} GiB"


def _each(ranks: int) -> str:
    if ranks == 1:
        return "its GPU"
    return f"each of its {ranks} GPUs"


def _or_setting(limits: MemoryLimits) -> str:
    if limits.gpu_share is None:
        return " or XINFER_CPU_KV_CACHE_GIB"
    return ""
