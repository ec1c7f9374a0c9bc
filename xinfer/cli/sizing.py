"""The GPU memory that a family's models need, as plain data for a table and for scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xinfer.catalog import Selection

_GIB = 1024**3
MOST_TOKENS = 32768
"""The default for --context-length, or the family's own if that is shorter; families have up to a million."""


@dataclass(frozen=True, slots=True)
class Load:
    """The sequences to estimate for, and the GPUs."""

    tokens: int
    """Length of each sequence."""
    sequences: int
    gpu_gib: float
    share: float


def memory_need(selection: Selection, load: Load) -> dict[str, Any]:
    """One model, the least memory that it needs on all GPUs together in GiB, and the number of GPUs."""
    from xinfer.catalog.footprint import footprint_of

    size = footprint_of(selection)
    tokens = min(load.tokens, size.context_length)
    usable_bytes = int(load.gpu_gib * load.share * _GIB)
    gpus = size.gpus_needed(usable_bytes, tokens, sequences=load.sequences)
    # What fits on no number of GPUs is shown as if on one.
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
