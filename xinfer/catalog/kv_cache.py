"""How much KV cache a model's tokens need, by its config.json alone.

What a token leaves behind in one layer depends on the layer's attention:

- multi-head, and grouped-query or multi-query with fewer heads: a key and a value for each KV head,
  ``2 * heads * head_dim`` values (PagedAttention, arXiv:2309.06180, section 3; GQA, arXiv:2305.13245);
- multi-head latent attention: one compressed vector for all heads, ``kv_lora_rank + qk_rope_head_dim`` values,
  whole on every GPU (DeepSeek-V2, arXiv:2405.04434, section 2.1), and beside it the indexer's key where attention
  is sparse (DeepSeek-V3.2, arXiv:2512.02556);
- sliding window or chunked: as above, for at most as many tokens as the window has (Mistral 7B, arXiv:2310.06825);
- linear attention, Mamba, convolution: a state that does not grow (Mamba, arXiv:2312.00752). Not counted.

Engines round up to blocks and pad layers of different kinds to one size, so these are lower bounds.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from xinfer.catalog.config_names import first, text_config
from xinfer.catalog.layers import LayerKind, layer_kinds
from xinfer.parallel import ALONE, Parallel

_BYTES_PER_VALUE = (
    *(("float32", 4.0), ("float16", 2.0), ("bfloat16", 2.0), ("float", 4.0), ("half", 2.0)),
    *(("fp8", 1.0), ("int8", 1.0), ("int4", 0.5), ("nvfp4", 0.5), ("ultraquant_4bit", 0.5)),
    *(("turboquant_k8v4", 0.75), ("turboquant_k3v4", 0.4375), ("turboquant_4", 0.5), ("turboquant_3", 0.375)),
)
"""By the prefix of vLLM's names of dtypes, without scales; the first match counts."""
_INDEXER_BLOCK = 128
_SCALE_BYTES = 4


@dataclass(frozen=True, slots=True)
class CacheLayer:
    """The part of a request's KV cache that one layer keeps."""

    heads: int
    bytes_per_head: float
    """Bytes of one token."""
    window: int | None = None
    """Tokens it keeps at most; None keeps all."""

    def bytes(self, tokens: int, tensor_parallel: int) -> float:
        """The bytes on each GPU. Heads are divided among them; a single one is copied to all."""
        kept = tokens
        if self.window is not None:
            kept = min(tokens, self.window)
        heads_per_gpu = math.ceil(self.heads / tensor_parallel)
        return kept * heads_per_gpu * self.bytes_per_head


@dataclass(frozen=True, slots=True)
class KvCache:
    """The KV cache of a model, layer by layer."""

    layers: tuple[CacheLayer, ...]
    unknown: tuple[str, ...] = ()
    """Parts that are not counted, as the config does not describe them; in words."""

    def bytes(self, tokens: int, *, sequences: int = 1, parallel: Parallel = ALONE) -> int:
        """The least that ``sequences`` of ``tokens`` each need on each GPU."""
        of_one = sum(layer.bytes(tokens, parallel.tensor) for layer in self.layers)
        return int(of_one * sequences / parallel.pipeline)

    def longest(self, available_bytes: int, *, at_most: int, parallel: Parallel = ALONE) -> int:
        """Tokens of the longest request, up to ``at_most``, whose cache fits ``available_bytes`` on each GPU."""
        # A search, as layers with a window stop growing at different lengths.
        lengths = range(at_most + 1)
        return bisect.bisect_right(lengths, available_bytes, key=partial(self.bytes, parallel=parallel)) - 1


def kv_cache_of(config: Mapping[str, Any], *, kv_dtype: str = "auto", dtype: str = "auto") -> KvCache:
    """The cache of the model with that ``config``, in an engine with these dtypes (vLLM's names)."""
    text = text_config(config)
    size = _bytes_per_value(kv_dtype, dtype, config)
    if size is None:
        return KvCache((), (f"the KV cache, whose dtype is {kv_dtype}",))
    if "compress_ratios" in text:
        return KvCache((), ("the KV cache, which is compressed",))
    kinds = layer_kinds(text)
    if not kinds:
        return KvCache((), ("the KV cache, as the number of layers is not known",))
    # A file may name more that share than there are.
    own = kinds[: max(0, len(kinds) - _sharing_layers(text))]
    layers: list[CacheLayer] = []
    # A dict, to name each kind once and in order.
    unknown: dict[str, None] = {}
    for kind in own:
        if kind is LayerKind.STATE:
            continue
        kept = _layers(text, kind, size)
        layers += kept
        if not kept:
            unknown[f"the KV cache of layers with {kind.value} attention"] = None
    return KvCache(tuple(layers), tuple(unknown))


def _layers(text: Mapping[str, Any], kind: LayerKind, size: float) -> tuple[CacheLayer, ...]:
    """The cache of one layer of that kind; empty if the config does not describe it."""
    if kind is LayerKind.UNKNOWN:
        return ()
    latent = first(text, "kv_lora_rank")
    if latent:
        values = latent + (first(text, "qk_rope_head_dim") or 0)
        # One head, so that each GPU counts the whole vector.
        return (CacheLayer(1, values * size), *_indexer(text))
    heads = _kv_heads(text, kind)
    dim = _head_dim(text, kind)
    if heads is None or dim is None:
        return ()
    window: int | None = None
    if kind is LayerKind.SLIDING:
        window = first(text, "sliding_window")
    elif kind is LayerKind.CHUNKED:
        window = first(text, "attention_chunk_size")
    per_head = dim + (first(text, "v_head_dim") or dim)
    return (CacheLayer(heads, per_head * size, window),)


def _indexer(text: Mapping[str, Any]) -> tuple[CacheLayer, ...]:
    """Keys of sparse attention's indexer, as 8-bit numbers with a scale for each block of them."""
    dim = first(text, "index_head_dim")
    if dim:
        return (CacheLayer(1, dim + dim // _INDEXER_BLOCK * _SCALE_BYTES),)
    return ()


def _kv_heads(text: Mapping[str, Any], kind: LayerKind) -> int | None:
    # Gemma 4: layers with full attention have fewer heads, whose keys are their values as well.
    own = first(text, "num_global_key_value_heads")
    if own and kind is LayerKind.FULL and text.get("attention_k_eq_v", True):
        return own
    if text.get("multi_query") and not text.get("new_decoder_architecture"):  # Falcon, StarCoder
        return 1
    return first(text, "num_key_value_heads") or first(text, "num_attention_heads")


def _head_dim(text: Mapping[str, Any], kind: LayerKind) -> int | None:
    dim = (kind is LayerKind.FULL and first(text, "global_head_dim")) or first(text, "head_dim")
    if dim:
        return dim
    hidden = first(text, "hidden_size")
    heads = first(text, "num_attention_heads")
    if hidden and heads:
        return hidden // heads
    return None


def _sharing_layers(text: Mapping[str, Any]) -> int:
    """Layers at the end that read the cache of earlier ones and keep none (Gemma 3n and 4)."""
    return first(text, "num_kv_shared_layers") or 0


def _bytes_per_value(kv_dtype: str, dtype: str, config: Mapping[str, Any]) -> float | None:
    """None for an unknown dtype. ``auto`` is the checkpoint's own, else the dtype that the engine computes in."""
    if kv_dtype == "auto":
        computed = 4.0 if dtype in ("float", "float32") else 2.0
        return _checkpoints_choice(config) or computed
    for name, size in _BYTES_PER_VALUE:
        if kv_dtype.startswith(name):
            return size
    return None


def _checkpoints_choice(config: Mapping[str, Any]) -> float | None:
    """Bytes of a value in the quantized cache that a quantized checkpoint sets; None if it sets none."""
    given = config.get("quantization_config") or text_config(config).get("quantization_config")
    if not isinstance(given, Mapping):
        return None
    # ModelOpt's own file has the names one level deeper.
    nested = given.get("quantization")
    scheme = _cache_scheme(given) or _cache_scheme(nested)
    if not scheme:
        return None
    if isinstance(scheme, Mapping):
        is_4_bit = scheme.get("num_bits") == 4
    else:
        is_4_bit = "4" in str(scheme)
    return 0.5 if is_4_bit else 1.0


def _cache_scheme(given: object) -> object:
    if not isinstance(given, Mapping):
        return None
    # The first name is that of compressed-tensors, the second ModelOpt's.
    return given.get("kv_cache_scheme") or given.get("kv_cache_quant_algo")
