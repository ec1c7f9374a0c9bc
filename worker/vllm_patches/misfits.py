"""Keeps packages from being imported that are of no use beside the torch that is installed.

The metadata of vLLM's CPU build asks for torchvision, torchaudio and torchcodec without saying which build. From the public index
come those for CUDA. Beside torch's CPU build ``import torchvision`` raises ``operator torchvision::nms does not exist``, and
transformers imports it wherever it is found. vLLM serves language models without any of them.

xgrammar asks for Triton, which vLLM's CPU build imports and then turns off where it cannot compile for CPUs: 80 MB of an engine's
memory.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")
_TRITON = "triton"
_CPU = "+cpu"


def hide_misfits(
    version: Callable[[str], str] = importlib.metadata.version, modules: MutableMapping[str, Any] = sys.modules
) -> None:
    """Have Python, and ``importlib.util.find_spec``, find none of the packages that do not fit torch's CPU build."""
    for name in misfits(version):
        # A module of None is one that cannot be imported. One that has been imported already works.
        modules.setdefault(name, None)


def misfits(version: Callable[[str], str] = importlib.metadata.version) -> list[str]:
    """The installed packages that were not built for the CPU, or serve nothing there, beside a torch that was."""
    if not _is_for_cpu("torch", version):
        return []
    found = [name for name in _COMPANIONS if _is_for_cpu(name, version) is False]
    if _compiles_for_gpus_alone(_TRITON):
        found.append(_TRITON)
    return found


def _compiles_for_gpus_alone(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return bool(places) and not any(Path(place, "backends", "cpu").exists() for place in places or ())


def _is_for_cpu(name: str, version: Callable[[str], str]) -> bool | None:
    """None for a package that is not installed."""
    try:
        return version(name).endswith(_CPU)
    except importlib.metadata.PackageNotFoundError:
        return None
