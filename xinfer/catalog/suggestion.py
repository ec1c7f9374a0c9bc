"""Suggests a registration for the model in a folder, from its own files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from xinfer.catalog.from_xinference import is_folder, refused
from xinfer.catalog.inspect import inspect_folder
from xinfer.catalog.weights import bits_per_weight, weights_in
from xinfer.errors import LaunchRefused
from xinfer.model_size import size_as_int_or_text

_FORMATS = {"awq": "awq", "gptq": "gptq", "fp8": "fp8", "bitsandbytes": "bnb", "mxfp4": "fp4", "nvfp4": "fp4"}
_STORED_BITS = {"F64": 64.0, "F32": 32.0}


def suggest(model_path: str, model_family: str | None = None) -> dict[str, Any]:
    """A registration in Xinference's format for the model in this folder, with a template like ``model_family``'s.

    ``FamilyRefused`` if it is no folder of a model. Abilities with an unknown parser are left out.
    """
    folder = Path(model_path)
    if not folder.is_absolute() or not is_folder(folder):
        raise refused("model_path", "expected the full path of a folder that is there")
    try:
        traits = inspect_folder(folder, name=model_path)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except LaunchRefused as error:
        raise refused("model_path", error.message.rstrip(".")) from None
    abilities = list(traits.abilities)
    # Registering refuses tools without a parser, so that the suggestion could not be sent as it is.
    if "tools" in abilities and not (traits.tool_parser or model_family):
        abilities.remove("tools")
    facts = {
        "version": 2,
        "model_name": _name_of(folder),
        "model_family": model_family,
        "model_lang": ["en"],
        "model_ability": abilities,
        "context_length": traits.context_length,
        "architectures": [traits.architecture] if traits.architecture else [],
        "tool_parser": traits.tool_parser,
        "reasoning_parser": traits.reasoning_parser,
        "model_specs": [{"model_uri": str(folder), **_spec(folder, config)}],
    }
    return {name: value for name, value in facts.items() if value is not None}


def _name_of(folder: Path) -> str:
    """The folder's name, without characters that a family's name must not have."""
    # Resolved, as a path may end in a link or in "..".
    name = re.sub(r"[^A-Za-z0-9._-]+|^[._-]+", "-", folder.resolve().name)
    return name.strip("-") or "model"


def _spec(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    quantized = config.get("quantization_config") or {}
    model_format = _FORMATS.get(str(quantized.get("quant_method")), "pytorch")
    bits = quantized.get("bits")
    if isinstance(bits, int):
        quantization = f"Int{bits}"
    elif model_format == "pytorch":
        quantization = "none"
    else:
        quantization = model_format
    return {
        "model_format": model_format,
        "model_size_in_billions": _size(folder, model_format, quantization),
        "quantization": quantization,
    }


def _size(folder: Path, model_format: str, quantization: str) -> int | str:
    """Billions of parameters from the bytes of the weights, to two digits."""
    stored = weights_in(folder)
    if stored is None:
        raise refused("model_path", "there are no weights in it")
    bits = _STORED_BITS.get(stored.dtype or "", bits_per_weight(model_format, quantization))
    return size_as_int_or_text(f"{stored.bytes * 8 / bits / 1e9:.2g}", point="_")
