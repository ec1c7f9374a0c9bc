"""The kind of attention of each layer of a model, by its config.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from xinfer.catalog.config_names import first


class LayerKind(StrEnum):
    """What a layer keeps of the tokens it has seen."""

    FULL = "full"  # all of them
    SLIDING = "sliding"  # the last ones, as many as its window has
    CHUNKED = "chunked"  # those of the present chunk
    STATE = "state"  # nothing that grows: linear attention, Mamba, convolution, or no attention at all
    UNKNOWN = "unknown"  # the config names a kind that is not known here


_BY_NAME = {
    **dict.fromkeys(
        ("full_attention", "attention", "hybrid", "indexed_attention", "deepseek_sparse_attention"), LayerKind.FULL
    ),
    **dict.fromkeys(("sliding_attention", "sliding_window", "local_attention"), LayerKind.SLIDING),
    "chunked_attention": LayerKind.CHUNKED,
    **dict.fromkeys(("linear_attention", "mamba", "mamba2", "conv", "recurrent", "mlp", "moe"), LayerKind.STATE),
}
_BY_LETTER = {"*": LayerKind.FULL, "M": LayerKind.STATE, "-": LayerKind.STATE, "E": LayerKind.STATE}
_LLAMA_4_INTERVAL = 4
# A file may say anything.
_MOST_LAYERS = 10_000


def layer_kinds(text: Mapping[str, Any]) -> list[LayerKind]:
    """The kind of each layer of the language model that ``text`` describes; none if even their number is not known."""
    for name in ("layer_types", "layers_block_type"):
        if isinstance(names := text.get(name), list):
            return [_BY_NAME.get(str(each), LayerKind.UNKNOWN) for each in names[: first(text, "num_hidden_layers")]]
    if isinstance(letters := text.get("hybrid_override_pattern"), str):
        return [_BY_LETTER.get(each, LayerKind.UNKNOWN) for each in letters]
    layers = range(min(first(text, "num_hidden_layers") or 0, _MOST_LAYERS))
    full = _full_layers(text, layers)
    if full is not None:
        return [LayerKind.FULL if each in full else LayerKind.STATE for each in layers]
    if str(text.get("model_type")).startswith("llama4"):
        return _every(layers, first(text, "no_rope_layer_interval") or _LLAMA_4_INTERVAL, other=LayerKind.CHUNKED)
    if first(text, "sliding_window") and text.get("use_sliding_window", True):
        return _sliding(text, layers)
    return [LayerKind.FULL for _ in layers]


def _full_layers(text: Mapping[str, Any], layers: Sequence[int]) -> set[int] | None:
    """Numbers of the layers with attention where all others hold a state; None if there are no such others."""
    if isinstance(flags := text.get("attn_type_list"), list):  # MiniMax-Text-01
        return {layer for layer, flag in enumerate(flags) if flag}
    if isinstance(linear := text.get("linear_attn_config"), Mapping):  # Kimi Linear, which counts from one
        return {layer - 1 for layer in _numbers(linear.get("full_attn_layers"))}
    if "attn_layer_indices" in text:  # Bamba
        return _numbers(text["attn_layer_indices"])
    period = first(text, "attn_layer_period")
    if period:  # Jamba
        return {layer for layer in layers if layer % period == (first(text, "attn_layer_offset") or 0)}
    interval = first(text, "full_attention_interval")
    if interval:  # Qwen3-Next, Qwen3.5
        return {layer for layer in layers if (layer + 1) % interval == 0}
    return None


def _numbers(value: object) -> set[int]:
    if isinstance(value, list):
        return {each for each in value if isinstance(each, int)}
    return set()


def _sliding(text: Mapping[str, Any], layers: Sequence[int]) -> list[LayerKind]:
    pattern = first(text, "sliding_window_pattern") or first(text, "_sliding_window_pattern")
    if pattern:
        return _every(layers, pattern, other=LayerKind.SLIDING)
    if "use_sliding_window" in text:  # Qwen: the first ones have full attention
        begin = first(text, "max_window_layers") or 0
        return [LayerKind.SLIDING if layer >= begin else LayerKind.FULL for layer in layers]
    return [LayerKind.SLIDING for _ in layers]


def _every(layers: Sequence[int], interval: int, *, other: LayerKind) -> list[LayerKind]:
    return [LayerKind.FULL if (layer + 1) % interval == 0 else other for layer in layers]
