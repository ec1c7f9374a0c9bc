"""Estimates the memory that a model needs on each GPU, or on the CPU, before anything is loaded.

    memory = weights / GPUs + KV cache of the requests that shall fit at once + what the engine needs besides

as in PagedAttention (arXiv:2309.06180, figure 1): weights stay, the KV cache takes the rest of the engine's share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xinfer.catalog.config_names import first, text_config
from xinfer.catalog.kv_cache import kv_cache_of
from xinfer.parallel import ALONE, Parallel

GIB = 1024**3
GPU_OVERHEAD_BYTES = GIB // 2
"""The least that activations, logits and CUDA graphs take on each GPU beside weights and KV cache."""
CPU_OVERHEAD_BYTES = GIB
"""The least of an engine on the CPU; Python, torch and vLLM in three processes took 1.6 GiB for a model of 7 MB."""
# vLLM's default for a config.json without a length.
_TOKENS_IF_UNKNOWN = 2048
_LONG_ROPE = "longrope"
# Tokenizers without a limit have a number such as 10**30.
_ANY_LENGTH = 10**8
GPU_COUNTS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """The least memory on each of the GPUs that share a model."""

    weights_bytes: int | None
    """None if unknown."""
    kv_cache_bytes: int
    overhead_bytes: int
    tokens: int
    """Length of each sequence in the KV cache."""
    sequences: int = 1
    unknown: tuple[str, ...] = ()
    """Parts that are not counted, as they are not known; in words."""

    @property
    def total_bytes(self) -> int:
        """The sum of all that is known."""
        return (self.weights_bytes or 0) + self.kv_cache_bytes + self.overhead_bytes


def estimate(
    config: Mapping[str, Any],
    weights_bytes: int | None,
    *,
    tokens: int | None = None,
    sequences: int = 1,
    parallel: Parallel = ALONE,
    kv_dtype: str = "auto",
    dtype: str = "auto",
    overhead_bytes: int = GPU_OVERHEAD_BYTES,
) -> MemoryEstimate:
    """The memory per GPU of the model with that config.json and ``weights_bytes`` in all, once they are loaded.

    ``sequences`` of ``tokens`` each fit at once; without ``tokens`` each may be as long as the model allows. The
    dtypes have vLLM's names.
    """
    cache = kv_cache_of(config, kv_dtype=kv_dtype, dtype=dtype)
    length = context_length_of(config) if tokens is None else tokens
    weights_per_gpu: int | None = None
    unknown = cache.unknown
    if weights_bytes is None:
        unknown = ("the weights", *unknown)
    else:
        weights_per_gpu = weights_bytes // parallel.gpus
    return MemoryEstimate(
        weights_bytes=weights_per_gpu,
        kv_cache_bytes=cache.bytes(length, sequences=sequences, parallel=parallel),
        overhead_bytes=overhead_bytes,
        tokens=length,
        sequences=sequences,
        unknown=unknown,
    )


def gpus_needed(config: Mapping[str, Any], weights_bytes: int, gpu_bytes: int, **load: Any) -> int | None:
    """The fewest GPUs with ``gpu_bytes`` each on which the model fits; None if it does not fit on any number.

    ``load`` are keywords of ``estimate``.
    """
    heads = first(text_config(config), "num_attention_heads") or 0
    for count in GPU_COUNTS:
        needed = estimate(config, weights_bytes, parallel=Parallel(count), **load)
        # vLLM shares attention heads out evenly and refuses other numbers.
        if heads % count == 0 and needed.total_bytes <= gpu_bytes:
            return count
    return None


def context_length_of(config: Mapping[str, Any], tokenizer_config: Mapping[str, Any] | None = None) -> int:
    """vLLM's default for the longest prompt plus output, or less, as scaling of positions is left out."""
    text = text_config(config)
    rope = text.get("rope_scaling") or text.get("rope_parameters") or {}
    lengths = [first(text, "max_position_embeddings"), first(tokenizer_config or {}, "model_max_length")]
    if isinstance(rope, Mapping) and _LONG_ROPE in (rope.get("rope_type"), rope.get("type")):
        # vLLM's default as well, since scaling makes responses to shorter requests worse.
        lengths.append(first(text, "original_max_position_embeddings"))
    known = [length for length in lengths if length and length < _ANY_LENGTH]
    return min(known, default=_TOKENS_IF_UNKNOWN)
