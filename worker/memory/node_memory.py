"""How much memory this node has, and how much of it is free: its own, and its GPUs'."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from xinfer.nvidia_smi import number, query_gpus, rows

_MEMBERSHIP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_VERSION_2 = ("memory.max", "memory.current", ("inactive_file", "active_file"))
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a machine or of one GPU."""

    total_bytes: int
    free_bytes: int
    """What a process can still get, the page cache included."""


def memories(gpus: Sequence[str]) -> list[Memory] | None:
    """Of each of these GPUs, or of the machine if there are none; None if it cannot be told."""
    if gpus:
        return gpu_memories(gpus)
    return [machine_memory()]


def machine_memory() -> Memory:
    """What this process and its children may use: the machine's memory, or less where a control group limits it."""
    machine = psutil.virtual_memory()
    all_bounds = [Memory(machine.total, machine.available), *cgroup_limits(_MEMBERSHIP, _CGROUPS)]
    return Memory(min(each.total_bytes for each in all_bounds), min(each.free_bytes for each in all_bounds))


def cgroup_limits(membership: Path, cgroups: Path) -> Iterator[Memory]:
    """The limits of the groups that ``membership`` names below ``cgroups``, and of those around them, in versions 1 and 2."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            place = cgroups
            names = _VERSION_2
        elif "memory" in controllers.split(","):
            place = cgroups / "memory"
            names = _VERSION_1
        else:
            continue
        inner = Path(path.lstrip("/"))
        for group in (inner, *inner.parents):  # in a container the inner ones may not be there
            limit = _limit(place / group, *names)
            if limit:
                yield limit


def _limit(group: Path, limit: str, usage: str, cached: Sequence[str]) -> Memory | None:
    """None where there is no limit, or none that can be read."""
    try:
        # "max" is no number.
        most = int((group / limit).read_text())
        used = int((group / usage).read_text())
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return Memory(most, max(0, most - used + sum(int(facts.get(name, 0)) for name in cached)))
    except (OSError, ValueError):
        return None


def gpu_memories(gpus: Sequence[str]) -> list[Memory] | None:
    """The memory of each of ``gpus`` (indexes or UUIDs, as Ray gives them); None if it cannot be told."""
    by_nvml = _by_nvml(gpus)
    if by_nvml is not None:
        return by_nvml
    return _by_smi(gpus)


def _by_nvml(gpus: Sequence[str]) -> list[Memory] | None:
    """By NVIDIA's library, which vLLM brings along where there are GPUs. It makes no CUDA context."""
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # noqa: BLE001 - no package, no driver, no library: its errors are its own, and a second way is left
        return None
    try:
        by_index = nvml.nvmlDeviceGetHandleByIndex
        by_uuid = nvml.nvmlDeviceGetHandleByUUID
        handles = [by_index(int(gpu)) if gpu.isdigit() else by_uuid(gpu) for gpu in gpus]
        facts = [nvml.nvmlDeviceGetMemoryInfo(handle) for handle in handles]
        return [Memory(int(each.total), int(each.free)) for each in facts]
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()


def _by_smi(gpus: Sequence[str]) -> list[Memory] | None:
    table = query_gpus("index", "uuid", "memory.total", "memory.free")
    if table is None:
        return None
    known = smi_table(table)
    if all(gpu in known for gpu in gpus):
        return [known[gpu] for gpu in gpus]
    return None


def smi_table(text: str) -> Mapping[str, Memory]:
    """The lines of nvidia-smi, each GPU under its index and under its UUID; those that do not tell are left out."""
    known: dict[str, Memory] = {}
    for index, uuid, *cells in rows(text, 4):
        total, free = map(number, cells)
        if total is not None and free is not None:
            known[index] = known[uuid] = Memory(total * _MIB, free * _MIB)
    return known
