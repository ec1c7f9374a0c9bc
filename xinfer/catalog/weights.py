"""Bytes of a model's weights: on the disk, by size and format alone, and once an engine has loaded them."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xinfer.catalog.config_names import first, text_config

_BITS_BY_QUANTIZATION = {
    **dict.fromkeys(("int8", "8bit", "8-bit", "fp8", "w8a8", "w8a16"), 8.0),
    **dict.fromkeys(("int4", "4bit", "4-bit", "fp4", "nvfp4", "mxfp4", "w4a16"), 4.5),
    "int3": 3.5,
}
_BITS_BY_FORMAT = {"fp8": 8.0, "awq": 4.5, "gptq": 4.5, "bnb": 4.5, "fp4": 4.5, "mxfp4": 4.5, "nvfp4": 4.5}
"""With the scales of each group of weights: 16 bits for 32 of them."""
PLAIN_BITS = 16.0
# The embeddings and the head of a quantized model stay plain: at most so many parameters, of a small model this share.
_MOST_PLAIN = 1e9
_MOST_PLAIN_SHARE = 0.12
_BYTES_BY_STORED_DTYPE = {
    "F64": 8.0,
    "F32": 4.0,
    "F16": 2.0,
    "BF16": 2.0,
    "F8_E4M3": 1.0,
    "F8_E5M2": 1.0,
    "I8": 1.0,
}
_BYTES_BY_DTYPE = {"float": 4.0, "float32": 4.0}
_BITS_ON_LOADING = {"fp8": 8.0}
_FEWEST_BITS = 4.0
_LONGEST_HEADER_BYTES = 100_000_000
_QUANTIZED = ("quantization_config", "compression_config")
_NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state", "adapter_model")
# Mistral's own form, beside that of transformers.
_SECOND_COPY = "consolidated"


@dataclass(frozen=True, slots=True)
class StoredWeights:
    bytes: int
    dtype: str | None = None
    """The dtype of most bytes, by safetensors' name; None if it is not known."""


def weights_in(folder: Path) -> StoredWeights | None:
    """The weights that an engine would load from a model's folder; None if there are none that are known."""
    for pattern in ("*.safetensors", "*.bin", "*.pt"):
        for index in sorted(folder.glob(f"{pattern}.index.json")):
            found = _by_index(folder, index)
            if found:
                return found
        files = _weight_files(folder, pattern)
        if files:
            return _sum(files)
    return None


def _weight_files(folder: Path, pattern: str) -> list[Path]:
    files: list[Path] = []
    second_copy: list[Path] = []
    for file in sorted(folder.glob(pattern)):
        if not file.is_file() or file.name.startswith(_NOT_WEIGHTS):
            continue
        if file.name.startswith(_SECOND_COPY):
            second_copy.append(file)
        else:
            files.append(file)
    # Mistral publishes some models in its own form alone.
    return files or second_copy


def weights_by_size(
    size_in_billions: str | float,
    format: str = "pytorch",  # noqa: A002
    quantization: str | None = None,
) -> int:
    """Bytes of so many parameters, in a format and quantization as the catalog names them."""
    bits = bits_per_weight(format, quantization)
    parameters = float(size_in_billions) * 1e9
    plain = min(_MOST_PLAIN, _MOST_PLAIN_SHARE * parameters)
    return int((plain * PLAIN_BITS + (parameters - plain) * bits) / 8)


def bits_per_weight(format: str = "pytorch", quantization: str | None = None) -> float:  # noqa: A002
    """Bits of most weights in a format and quantization of the catalog, scales included; plain ones have 16."""
    named = _BITS_BY_QUANTIZATION.get((quantization or "").lower())
    return named or _BITS_BY_FORMAT.get(format.lower(), PLAIN_BITS)


def loaded_bytes(
    stored: StoredWeights, config: Mapping[str, Any], *, dtype: str = "auto", quantization: str | None = None
) -> int:
    """The least memory of ``stored`` in an engine with this ``dtype`` and ``quantization`` (vLLM's names).

    Engines halve 32-bit floats, leave quantized weights as they are, and skip layers for speculative decoding.
    """
    if is_quantized(config):
        ratio = 1.0
    else:
        held = _BYTES_BY_STORED_DTYPE.get(stored.dtype or _dtype_by_config(config), 4.0)
        loaded = _BYTES_BY_DTYPE.get(dtype, 2.0)
        if quantization:
            loaded = _BITS_ON_LOADING.get(quantization, _FEWEST_BITS) / 8
        ratio = loaded / held
    return int(stored.bytes * ratio * _used(config))


def is_quantized(config: Mapping[str, Any]) -> bool:
    """Whether the checkpoint with this config.json is."""
    return any(part.get(name) for part in (config, text_config(config)) for name in _QUANTIZED)


def _used(config: Mapping[str, Any]) -> float:
    """The share of layers that every engine loads; the others are for speculative decoding."""
    text = text_config(config)
    layers = first(text, "num_hidden_layers")
    ahead = first(text, "num_nextn_predict_layers") or first(text, "mtp_num_hidden_layers") or 0
    if layers:
        return layers / (layers + ahead)
    return 1.0


def _dtype_by_config(config: Mapping[str, Any]) -> str:
    text = text_config(config)
    # Newer versions of transformers write dtype, earlier ones torch_dtype.
    name = config.get("dtype") or config.get("torch_dtype")
    name = name or text.get("dtype") or text.get("torch_dtype") or ""
    return {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}.get(str(name), "")


def _by_index(folder: Path, index: Path) -> StoredWeights | None:
    """The files that an index lists if all are there, else the total size that it states."""
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        files = [folder / name for name in sorted(set(content["weight_map"].values()))]
        # A download may still be under way.
        if all(file.is_file() for file in files):
            return _sum(files)
        total = content["metadata"]["total_size"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    if isinstance(total, int | float) and total > 0:
        return StoredWeights(int(total))
    return None


def _sum(files: Iterable[Path]) -> StoredWeights:
    files = list(files)
    return StoredWeights(sum(file.stat().st_size for file in files), _main_dtype(files[0]))


def _main_dtype(file: Path) -> str | None:
    """The dtype of most bytes of a safetensors file, by its header; None for another kind of file."""
    if file.suffix != ".safetensors":
        return None
    try:
        with file.open("rb") as content:
            (length,) = struct.unpack("<Q", content.read(8))
            header: dict[str, Any] = {}
            # safetensors allows no longer header, and a broken file may claim any length.
            if length < _LONGEST_HEADER_BYTES:
                header = json.loads(content.read(length))
        sizes: Counter[str] = Counter()
        for name, tensor in header.items():
            if name != "__metadata__":
                start, end = tensor["data_offsets"]
                sizes[tensor["dtype"]] += end - start
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError):
        return None
    return max(sizes, key=sizes.__getitem__, default=None)
