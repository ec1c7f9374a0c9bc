"""A model of a common size, made on the spot: Qwen3's architecture, no weights (vLLM fills in random ones), a tokenizer.

The shapes are those of Qwen3-1.7B, Qwen3-4B and Qwen3-8B (Qwen3 Technical Report, arXiv:2505.09388, table 1, and the config.json
of each), so the engine's work is that of the real models; what it says is nonsense.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from xinfer.tiny_chat import model_path

VOCABULARY = 151_936
_SHAPES: dict[str, dict[str, Any]] = {
    "0.01": {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2},
    "1.7": {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16},
    "4": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32},
    "8": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32},
}
SIZES = tuple(_SHAPES)
_COPIED = ("chat_template.jinja", "generation_config.json", "tokenizer_config.json")


def make(folder: Path, size: str) -> int:
    """Write the model of ``size`` billions into ``folder``; its number of parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(size)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    for name in _COPIED:
        shutil.copy(model_path() / name, folder / name)
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(config["vocab_size"]), ensure_ascii=False))
    return _parameters(config)


def _config(size: str) -> dict[str, Any]:
    shape = _SHAPES[size]
    head, kv_heads = (128, 8) if shape["num_attention_heads"] >= 8 else (64, 2)
    bundled = json.loads((model_path() / "config.json").read_text())
    return {
        **bundled,
        **shape,
        "head_dim": head,
        "num_key_value_heads": kv_heads,
        "layer_types": ["full_attention"] * shape["num_hidden_layers"],
        "max_position_embeddings": 40_960,
        "max_window_layers": shape["num_hidden_layers"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": size != "8",
    }


def _parameters(config: dict[str, Any]) -> int:
    hidden, head = config["hidden_size"], config["head_dim"]
    queries, keys = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    attention = 2 * hidden * queries + 2 * hidden * keys + 2 * head
    layer = attention + 3 * hidden * config["intermediate_size"] + 2 * hidden
    embeddings = config["vocab_size"] * hidden * (1 if config["tie_word_embeddings"] else 2)
    return embeddings + config["num_hidden_layers"] * layer + hidden


def _tokenizer(size: int) -> dict[str, Any]:
    """tiny-chat's, with as many more tokens as Qwen's has; no text ever becomes one of those, but the model says them."""
    tokenizer: dict[str, Any] = json.loads((model_path() / "tokenizer.json").read_text())
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    vocabulary = tokenizer["model"]["vocab"] | added  # those that are not in it would be numbered anew
    spare = set(range(size)) - set(vocabulary.values())
    tokenizer["model"]["vocab"] = vocabulary | {f"Ġword{number}": number for number in sorted(spare)}
    return tokenizer
