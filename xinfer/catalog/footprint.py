"""The memory that one model of the catalog needs, estimated before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xinfer.catalog.catalog import Selection
from xinfer.catalog.config_names import first, text_config
from xinfer.catalog.kv_cache import kv_cache_of
from xinfer.catalog.memory import (
    CPU_OVERHEAD_BYTES,
    GPU_OVERHEAD_BYTES,
    MemoryEstimate,
    context_length_of,
    estimate,
    gpus_needed,
)
from xinfer.catalog.model_files import read_object, snapshot_folder
from xinfer.catalog.weights import StoredWeights, loaded_bytes, weights_by_size, weights_in
from xinfer.parallel import Parallel


@dataclass(frozen=True, slots=True)
class Footprint:
    """The facts that the memory of a model depends on."""

    config: Mapping[str, Any]
    """Its config.json, or the catalog's part of it; if empty, the KV cache is not counted."""
    weights_bytes: int
    context_length: int
    """Longest prompt plus output, in tokens."""
    is_measured: bool = False
    """True if the weights are on this disk; else their size is estimated from the number of parameters."""

    @property
    def is_known(self) -> bool:
        """Whether the catalog or the model's own files describe more than its size."""
        return bool(self.config)

    def estimate(self, tokens: int, gpus: int = 1, **load: Any) -> MemoryEstimate:
        """The memory on each of ``gpus``, or on the CPU for 0; ``load`` are keywords of ``memory.estimate``."""
        overhead = GPU_OVERHEAD_BYTES if gpus else CPU_OVERHEAD_BYTES
        return estimate(
            self.config,
            self.weights_bytes,
            tokens=tokens,
            parallel=Parallel(max(1, gpus)),
            overhead_bytes=overhead,
            **load,
        )

    def gpus_needed(self, gpu_bytes: int, tokens: int, **load: Any) -> int | None:
        """The fewest GPUs with ``gpu_bytes`` each on which it fits; None if it does not fit on any number."""
        return gpus_needed(self.config, self.weights_bytes, gpu_bytes, tokens=tokens, **load)

    def can_be_shared_by(self, gpus: int) -> bool:
        """Whether so many GPUs can share its attention heads, as far as is known."""
        heads = first(text_config(self.config), "num_attention_heads") or 0
        return heads % gpus == 0

    def longest(self, gpu_bytes: float, gpus: int = 1, kv_dtype: str = "auto") -> int:
        """Tokens of the longest request that fits ``gpu_bytes`` on each of ``gpus``; 0 if the weights do not."""
        left = int(gpu_bytes) - self.estimate(0, gpus).total_bytes
        cache = kv_cache_of(self.config, kv_dtype=kv_dtype)
        if left > 0:
            return cache.longest(left, at_most=self.context_length, parallel=Parallel(gpus))
        return 0


def footprint_of(selection: Selection) -> Footprint:
    """By the model's own files if they are on this machine, else by the catalog. Blocks on the disk."""
    spec = selection.spec
    family = selection.family
    config = family.configs.get(spec.size_in_billions, {})
    stored: StoredWeights | None = None
    folder = _folder_of(selection.path, spec.revision)
    own = read_object(folder / "config.json") if folder else {}
    if folder and own:
        config = own
        stored = weights_in(folder)
    if stored:
        weights_bytes = loaded_bytes(stored, config)
    else:
        weights_bytes = _by_size(selection, config)
    # One size of a family may have a shorter context than the family.
    context_length = family.context_length
    if first(text_config(config), "max_position_embeddings"):
        context_length = context_length_of(config)
    return Footprint(config, weights_bytes, context_length, is_measured=stored is not None)


def _by_size(selection: Selection, config: Mapping[str, Any]) -> int:
    spec = selection.spec
    weights_format = spec.format
    given = config.get("quantization_config")
    # Some models are published only quantized, as format pytorch; their config.json names the method.
    if isinstance(given, Mapping) and spec.format == "pytorch":
        weights_format = str(given.get("quant_method") or spec.format)
    return weights_by_size(spec.size_in_billions, weights_format, selection.quantization)


def _folder_of(path: str, revision: str | None) -> Path | None:
    """The model's folder on this machine, its own or that in the hub's cache; None if there is none."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    return snapshot_folder(path, revision)
