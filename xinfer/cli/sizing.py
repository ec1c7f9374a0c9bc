"""How much GPU memory the models of a family need, as plain data for a table and for scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xinfer.catalog import Selection

_GIB = 1024**3
MOST_TOKENS = 32768
"""The context that is counted unless another is asked for; families have up to a million."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the memory is to hold, and where."""

    tokens: int
    """Of each sequence."""
    sequences: int
    gpu_gib: float
    share: float


def sizes(selection: Selection, load: Load) -> dict[str, Any]:
    """One model: which it is, the GiB that it needs at least on all GPUs together, and how many GPUs those are."""
    from xinfer.catalog.footprint import footprint_of

    size = footprint_of(selection)
    tokens = min(load.tokens, size.context_length)
    gpus = size.gpus_needed(int(load.gpu_gib * load.share * _GIB), tokens, sequences=load.sequences)
    ranks = gpus or 1
    need = size.estimate(tokens, ranks, sequences=load.sequences)
    return {
        "model_size_in_billions": selection.spec.size_in_billions,
        "model_format": selection.spec.format,
        "quantization": selection.quantization,
        "source": "bundled" if selection.spec.bundled else selection.path,
        "weights_gib": _gib((need.weights_bytes or 0) * ranks),
        "kv_cache_gib": _gib(need.kv_cache_bytes * ranks),
        "memory_gib": _gib(need.total_bytes * ranks),
        "n_gpu": gpus,
        "tokens": tokens,
        "measured": size.is_measured,
        "not_counted": list(need.unknown),
    }


def _gib(size: float) -> float:
    return round(size / _GIB, 2)
