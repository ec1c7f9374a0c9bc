"""CPU time of processes by name: those that the user names, and those of a cluster on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from xinfer.bench.stats import present
from xinfer.cluster import processes
from xinfer.cluster.cluster_record import ClusterRecord

Watched = Mapping[str, Sequence[int]]
"""Process ids by the name that they are reported under, together."""

_HERE = ("127.0.0.1", "localhost", "0.0.0.0", "::1", "::")
_SUPERVISOR = "ServeReplica:xinfer:supervisor"


def cpu_seconds(watched: Watched) -> dict[str, float]:
    """User and system time used so far; a name is left out once one of its processes is gone."""
    used: dict[str, float] = {}
    for name, pids in watched.items():
        seconds = present(map(_of_process, pids))
        if len(seconds) == len(pids):
            used[name] = sum(seconds)
    return used


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What was used between two readings, of the names in both."""
    return {name: after[name] - used for name, used in before.items() if name in after}


def is_alive(pid: int) -> bool:
    """True if there is such a process and its CPU time can be read."""
    return pid > 0 and _of_process(pid) is not None


def own_cpu_seconds() -> float:
    """User and system time that this process has used so far."""
    return time.process_time()


def cluster_processes(urls: Iterable[str], home: Path) -> dict[str, list[int]]:
    """``supervisor`` and ``haproxy``, which every request to a cluster on this machine passes through.

    Empty unless one of ``urls`` is the address of that cluster.
    """
    record = ClusterRecord.load(home)
    if record is None or record.endpoint is None:
        return {}
    endpoint = record.endpoint
    if not any(_same_address(url, endpoint) for url in urls):
        return {}
    found: dict[str, list[int]] = {}
    for process in processes.of_cluster(record.id):
        role = _role(process)
        if role:
            found.setdefault(role, []).append(process.pid)
    return found


def _same_address(url: str, endpoint: str) -> bool:
    ours = urlsplit(url)
    theirs = urlsplit(endpoint)
    if ours.port != theirs.port:
        return False
    # All names of this machine are one address.
    return ours.hostname == theirs.hostname or (ours.hostname in _HERE and theirs.hostname in _HERE)


def _role(process: psutil.Process) -> str | None:
    try:
        if process.name() == "haproxy":
            return "haproxy"
        # Ray gives its workers' processes the name of their actor.
        if _SUPERVISOR in " ".join(process.cmdline()):
            return "supervisor"
        return None
    except psutil.Error:
        return None


def _of_process(pid: int) -> float | None:
    try:
        if os.uname().sysname == "Linux":
            # The id that clock_getcpuclockid() gives, which Python lacks. This clock counts in nanoseconds;
            # /proc counts in hundredths of a second.
            return time.clock_gettime(~pid << 3 | 2)
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system
    except (OSError, OverflowError, psutil.Error):
        return None
