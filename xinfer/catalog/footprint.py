"""The memory that one model of the catalog needs, before anything of it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xinfer.catalog.catalog import Selection
from xinfer.catalog.config_names import first, text_config
from xinfer.catalog.kv_cache import Parallel, kv_cache_of
from xinfer.catalog.memory import (
    CPU_OVERHEAD_BYTES,
    GPU_OVERHEAD_BYTES,
    MemoryEstimate,
    context_length_of,
    estimate,
    gpus_needed,
)
from xinfer.catalog.weights import loaded_bytes, weights_by_size, weights_in


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the memory of a model depends on."""

    config: Mapping[str, Any]
    """Its config.json, or what the catalog knows of it; empty if that is nothing, and then the KV cache is not counted."""
    weights_bytes: int
    context_length: int
    """Longest prompt plus answer that it takes, in tokens."""
    is_measured: bool = False
    """Whether the weights are here and were measured; else they are estimated from the number of parameters."""

    @property
    def is_known(self) -> bool:
        """Whether the catalog or the model's own files say more of it than its size."""
        return bool(self.config)

    def estimate(self, tokens: int, gpus: int = 1, **asked: Any) -> MemoryEstimate:
        """The memory on each of ``gpus``, or of an engine without one if that is 0; ``asked`` are keywords of ``estimate``."""
        parallel = Parallel(max(1, gpus))
        overhead = GPU_OVERHEAD_BYTES if gpus else CPU_OVERHEAD_BYTES
        return estimate(
            self.config, self.weights_bytes, tokens=tokens, parallel=parallel, overhead_bytes=overhead, **asked
        )

    def gpus_needed(self, gpu_bytes: int, tokens: int, **asked: Any) -> int | None:
        """The fewest GPUs, with ``gpu_bytes`` each for this model, that hold it; None if no number of them does."""
        return gpus_needed(self.config, self.weights_bytes, gpu_bytes, tokens=tokens, **asked)

    def can_be_shared_by(self, gpus: int) -> bool:
        """Whether so many GPUs can share its attention heads, as far as is known."""
        return (first(text_config(self.config), "num_attention_heads") or 0) % gpus == 0

    def longest(self, gpu_bytes: float, gpus: int = 1, kv_dtype: str = "auto") -> int:
        """Tokens of the longest request that ``gpu_bytes`` on each of ``gpus`` can serve; 0 if not even the weights fit."""
        left = int(gpu_bytes) - self.estimate(0, gpus).total_bytes
        cache = kv_cache_of(self.config, kv_dtype=kv_dtype)
        if left > 0:
            return cache.longest(left, at_most=self.context_length, parallel=Parallel(gpus))
        return 0


def footprint_of(selection: Selection) -> Footprint:
    """By the model's own files if they are on this machine, else by what the catalog knows of its size. Blocks on the disk."""
    spec = selection.spec
    family = selection.family
    folder = _folder_of(selection.path, spec.revision)
    own = _read_config(folder) if folder else {}
    config = own or family.configs.get(spec.size_in_billions, {})
    stored = weights_in(folder) if folder and own else None
    if first(text_config(config), "max_position_embeddings"):
        length = context_length_of(config)
    else:
        length = None
    return Footprint(
        config=config,
        weights_bytes=loaded_bytes(stored, config) if stored else _by_size(selection, config),
        context_length=length or family.context_length,
        is_measured=stored is not None,
    )


def _by_size(selection: Selection, config: Mapping[str, Any]) -> int:
    """Some models are published in a quantized form alone, and their config tells."""
    spec = selection.spec
    given = config.get("quantization_config")
    if isinstance(given, Mapping) and spec.format == "pytorch":
        method = given.get("quant_method")
    else:
        method = None
    return weights_by_size(spec.size_in_billions, str(method or spec.format), selection.quantization)


def _folder_of(path: str, revision: str | None) -> Path | None:
    """Where the model is on this machine: in a folder, or in the hub's cache; None if it is not."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    # Slow to import, and needed only here.
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(path, "config.json", revision=revision)
    except HFValidationError:
        return None
    if isinstance(found, str):
        return Path(found).parent
    return None


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if isinstance(content, dict):
        return content
    return {}
