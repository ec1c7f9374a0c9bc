"""Reads a config.json, in which families have different names for the same facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NESTED = ("text_config", "llm_config", "language_config", "thinker_config")
_ALIASES = {
    "num_hidden_layers": ("n_layer", "num_layers", "n_layers"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
    "num_key_value_heads": (
        "n_head_kv",
        "num_kv_heads",
        "kv_n_heads",
        "multi_query_group_num",
        "num_attention_groups",
    ),
    "head_dim": ("kv_channels", "hidden_size_per_head", "attention_head_dim"),
    "hidden_size": ("n_embd", "d_model"),
    "max_position_embeddings": ("n_positions", "max_seq_len", "seq_length", "max_sequence_length"),
}
_UNWRITTEN: Mapping[str, Mapping[str, Any]] = {
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131072,
        "sliding_window_pattern": 6,
    },
    "gemma3n_text": {"sliding_window_pattern": 5},
    "gemma4_text": {"global_head_dim": 512, "sliding_window_pattern": 6},
    "gemma2": {"sliding_window_pattern": 2},
    "cohere2": {"sliding_window_pattern": 4},
    "gpt_oss": {"sliding_window_pattern": 2},
    "olmo3": {"sliding_window_pattern": 4},
    "qwen3_next": {"full_attention_interval": 4},
    "qwen3_5_text": {"full_attention_interval": 4},
    "qwen3_5_moe_text": {"full_attention_interval": 4},
}
"""Defaults of transformers' classes that published files leave out, by model type."""


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of ``config`` that describes the language model, completed by transformers' defaults."""
    for name in _NESTED:
        inner = config.get(name)
        if isinstance(inner, Mapping):
            # Omni models nest twice: thinker_config holds a text_config.
            return text_config(inner)
    # null means unset, and must not hide a default.
    written = {name: value for name, value in config.items() if value is not None}
    return {**_UNWRITTEN.get(str(config.get("model_type")), {}), **written}


def first(text: Mapping[str, Any], name: str) -> int | None:
    """The whole number above 0 under ``name`` or another family's name for it; None if there is none."""
    places = [text]
    # MPT and DBRX have facts of the attention in an object of their own.
    inner = text.get("attn_config")
    if isinstance(inner, Mapping):
        places.append(inner)
    for place in places:
        for each in (name, *_ALIASES.get(name, ())):
            value = place.get(each)
            # bool is a subclass of int.
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return None
