"""What is on this machine of a model in Hugging Face's layout: its folder, its JSON files, and which weights they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in ``file``; empty if there is no such file, or it has none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if isinstance(content, dict):
        return content
    return {}


def indexed_files(index: Path) -> set[str]:
    """The names of the files that a ``*.index.json`` says the weights are in; none if it cannot be read."""
    parts = read_object(index).get("weight_map")
    if isinstance(parts, dict):
        return {name for name in parts.values() if isinstance(name, str)}
    return set()


def snapshot_folder(repo: str, revision: str | None = None) -> Path | None:
    """The folder of a hub id in the hub's cache; None if its config.json is not there, or it cannot be a hub id. Blocks."""
    # Slow to import, and needed by few.
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(repo, "config.json", revision=revision)
    except HFValidationError:
        return None
    if isinstance(config, str):
        return Path(config).parent
    return None
