"""Which files of a repository vLLM reads. It is its own choice written down once more, so that it
finds all of them there.

vLLM's is in ``transformers_utils/repo_utils.py`` (all but weights) and
``model_executor/model_loader`` (weights).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatch

INDEX = "model.safetensors.index.json"
"""Names the files that hold the weights; what is beside them is left out."""
NEVER_SMALL = (
    *("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.gguf", "*.h5", "*.msgpack", "*.onnx", "*.onnx_data"),
    *("*.png", "*.jpg", "*.jpeg", "*.gif", "*.webp", "*.mp3", "*.mp4", "*.wav", "*.flac"),
    *("*.parquet", "*.arrow", "*.ipynb", "*.zip", "*.tar*"),
)
"""Weights of all frameworks, pictures, sounds, data: everything else is taken for configuration."""
_CONSOLIDATED = "consolidated*.safetensors"
_WEIGHTS_BY_LOAD_FORMAT = {
    "hf": ("*.safetensors", "*.bin", "*.pt"),
    "safetensors": ("*.safetensors",),
    "fastsafetensors": ("*.safetensors",),
    "instanttensor": ("*.safetensors",),
    "mistral": (_CONSOLIDATED,),
    "pt": ("*.pt",),
    "npcache": ("*.bin", "*.pt"),
}
"""Patterns in order of preference.

Other formats have no weights (``dummy``) or loaders that fetch them in their own way.
"""


def small_files(names: Iterable[str]) -> list[str]:
    return [name for name in names if not _matches(name, NEVER_SMALL)]


def weight_files(
    names: Collection[str], indexed: Collection[str], load_format: str, ignore_patterns: Collection[str]
) -> list[str]:
    """The files with weights.

    ``indexed`` are those that ``INDEX`` names, none if there is no such file.
    """
    if load_format == "auto":  # Mistral's own format wins over the same weights in Hugging Face's
        is_mistral = any(fnmatch(name.rpartition("/")[2], _CONSOLIDATED) for name in names)
        load_format = "mistral" if is_mistral else "hf"
    patterns = _WEIGHTS_BY_LOAD_FORMAT.get(load_format, ())
    if "*.safetensors" in patterns and indexed:
        chosen = [name for name in names if name in indexed]
    else:
        top = [name for name in names if "/" not in name]
        first = next((pattern for pattern in patterns if any(fnmatch(name, pattern) for name in top)), None)
        chosen = [name for name in names if _matches(name, (first,) if first else patterns)]
    return [name for name in chosen if not _matches(name, ignore_patterns)]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
