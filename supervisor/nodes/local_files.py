"""Whether a model's files are on this machine, by a short look at the hub's cache."""

from __future__ import annotations

import json
from pathlib import Path

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt")


def local_files(path: str, revision: str | None = None) -> Path | None:
    """Where the files of a folder or a hub id are on this machine, all weights among them; None if they are not. Blocks."""
    folder: Path | None
    if path.startswith("/"):
        folder = Path(path)
    else:
        folder = _snapshot(path, revision)
    if folder and _has_weights(folder):
        return folder
    return None


def _snapshot(repo: str, revision: str | None) -> Path | None:
    # Takes a while to import.
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(repo, "config.json", revision=revision)
    except HFValidationError:
        return None
    if isinstance(config, str):
        return Path(config).parent
    return None


def _has_weights(folder: Path) -> bool:
    """All that an index names, or any if there is none: weights in one file are there when the file is."""
    indexes = [index for pattern in _WEIGHTS for index in folder.glob(f"{pattern}.index.json")]
    if indexes:
        return any(map(_is_whole, indexes))
    return any(next(folder.glob(each), None) for each in _WEIGHTS)


def _is_whole(index: Path) -> bool:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return all((index.parent / name).exists() for name in names)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
