"""The kind of attention of each layer of a model, by its config.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from xinfer.catalog.config_names import first


class LayerKind(StrEnum):
    """The tokens that a layer keeps in the KV cache."""

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
# A file may say anything, and the list of layers is made in memory.
_MOST_LAYERS = 10_000


def layer_kinds(text: Mapping[str, Any]) -> list[LayerKind]:
    """The kind of each layer of the language model in ``text``; empty if their number is not known."""
    for name in ("layer_types", "layers_block_type"):
        names = text.get(name)
        if isinstance(names, list):
            # No more than the model has, however long the list is.
            own = names[: first(text, "num_hidden_layers")]
            return _kinds_of(own, _BY_NAME)
    letters = text.get("hybrid_override_pattern")
    if isinstance(letters, str):
        return _kinds_of(letters, _BY_LETTER)
    count = min(first(text, "num_hidden_layers") or 0, _MOST_LAYERS)
    full = _full_layers(text, count)
    if full is not None:
        return _mixed(count, full, other=LayerKind.STATE)
    if str(text.get("model_type")).startswith("llama4"):
        interval = first(text, "no_rope_layer_interval") or _LLAMA_4_INTERVAL
        return _mixed(count, _every(interval, count), other=LayerKind.CHUNKED)
    if first(text, "sliding_window") and text.get("use_sliding_window", True):
        return _sliding(text, count)
    return [LayerKind.FULL] * count


def _kinds_of(names: Iterable[object], known: Mapping[str, LayerKind]) -> list[LayerKind]:
    return [known.get(str(name), LayerKind.UNKNOWN) for name in names]


def _full_layers(text: Mapping[str, Any], count: int) -> Iterable[int] | None:
    """Numbers of the layers with attention, if all others hold a state; None if there are no such others."""
    flags = text.get("attn_type_list")
    if isinstance(flags, list):  # MiniMax-Text-01
        return [layer for layer, flag in enumerate(flags) if flag]
    linear = text.get("linear_attn_config")
    if isinstance(linear, Mapping):  # Kimi Linear, which counts from one
        return [layer - 1 for layer in _numbers(linear.get("full_attn_layers"))]
    if "attn_layer_indices" in text:  # Bamba
        return _numbers(text["attn_layer_indices"])
    period = first(text, "attn_layer_period")
    if period:  # Jamba
        offset = first(text, "attn_layer_offset") or 0
        return [layer for layer in range(count) if layer % period == offset]
    interval = first(text, "full_attention_interval")
    if interval:  # Qwen3-Next, Qwen3.5
        return _every(interval, count)
    return None


def _numbers(value: object) -> list[int]:
    if isinstance(value, list):
        return [each for each in value if isinstance(each, int)]
    return []


def _sliding(text: Mapping[str, Any], count: int) -> list[LayerKind]:
    # Older files have this number instead of layer_types, some under the name of transformers' own attribute.
    pattern = first(text, "sliding_window_pattern") or first(text, "_sliding_window_pattern")
    if pattern:
        return _mixed(count, _every(pattern, count), other=LayerKind.SLIDING)
    full = 0
    if "use_sliding_window" in text:  # Qwen: the first ones have full attention
        full = min(count, first(text, "max_window_layers") or 0)
    return _mixed(count, range(full), other=LayerKind.SLIDING)


def _every(interval: int, count: int) -> range:
    """The last layer of each ``interval``: 3 and 7 of eight for an interval of 4."""
    return range(interval - 1, count, interval)


def _mixed(count: int, full: Iterable[int], *, other: LayerKind) -> list[LayerKind]:
    """``count`` layers, of which those with the numbers ``full`` have full attention."""
    kinds = [other] * count
    for layer in full:
        # A file may name layers that the model does not have.
        if 0 <= layer < count:
            kinds[layer] = LayerKind.FULL
    return kinds
