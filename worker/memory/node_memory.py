"""How much memory this node has, and how much of it is free: its own, and its GPUs'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pynvml

_MEMBERSHIP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_VERSION_2 = ("memory.max", "memory.current", ("inactive_file", "active_file"))
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a machine or of one GPU."""

    total_bytes: int
    free_bytes: int
    """Memory that a process can still get, the page cache included."""


def memories(gpus: Sequence[str]) -> list[Memory] | None:
    """Memory of each of ``gpus``, or of the machine if there are none; None if it is unknown."""
    if gpus:
        return gpu_memories(gpus)
    return [machine_memory()]


def machine_memory() -> Memory:
    """Memory of this machine, or less where a control group limits this process."""
    machine = psutil.virtual_memory()
    limits = [Memory(machine.total, machine.available), *cgroup_limits(_MEMBERSHIP, _CGROUPS)]
    total_bytes = min(each.total_bytes for each in limits)
    free_bytes = min(each.free_bytes for each in limits)
    return Memory(total_bytes, free_bytes)


def cgroup_limits(membership: Path, cgroups: Path) -> Iterator[Memory]:
    """Limits of this process's control groups and their parents, in versions 1 and 2.

    ``membership`` is its ``/proc/self/cgroup``; ``cgroups`` is where control groups are mounted.
    """
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
        # In a container the inner ones may not be mounted.
        for group in (inner, *inner.parents):
            limit = _limit(place / group, *names)
            if limit:
                yield limit


def _limit(group: Path, limit: str, usage: str, cached: Sequence[str]) -> Memory | None:
    """Limit of one group; None where there is none, or none that can be read."""
    try:
        # Without a limit the file has the word "max", which raises ValueError.
        most = int((group / limit).read_text())
        used = int((group / usage).read_text())
        facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return Memory(most, max(0, most - used + sum(int(facts.get(name, 0)) for name in cached)))
    except (OSError, ValueError):
        return None


def gpu_memories(gpus: Sequence[str]) -> list[Memory] | None:
    """The memory of each of ``gpus`` (indexes or UUIDs, as Ray gives them).

    None if NVML is not available or does not know one of them. Makes no CUDA context.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None

    try:
        found: list[Memory] = []
        for gpu in gpus:
            if gpu.isdigit():
                handle = pynvml.nvmlDeviceGetHandleByIndex(int(gpu))
            else:
                handle = pynvml.nvmlDeviceGetHandleByUUID(gpu)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            found.append(Memory(int(memory.total), int(memory.free)))
        return found
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
