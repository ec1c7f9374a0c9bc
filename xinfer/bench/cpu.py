"""CPU time of processes by name, as the kernel counts it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

import psutil

Watched = Mapping[str, Sequence[int]]
"""Process ids by the name that they are reported under, together."""


def cpu_seconds(watched: Watched) -> dict[str, float]:
    """What they have used so far, user and system; a name is left out once one of its processes is gone."""
    used = {name: [_of_process(pid) for pid in pids] for name, pids in watched.items()}
    return {name: sum(filter(None, each)) for name, each in used.items() if None not in each}


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What was used from one reading to the other, of the names in both."""
    return {name: after[name] - used for name, used in before.items() if name in after}


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it may be looked at."""
    return pid > 0 and _of_process(pid) is not None


def own_cpu_seconds() -> float:
    """What this process has used so far."""
    return time.process_time()


def _of_process(pid: int) -> float | None:
    """To the nanosecond where the kernel has a clock for every process; /proc counts in hundredths of a second."""
    try:
        if os.uname().sysname == "Linux":
            # The id that clock_getcpuclockid() gives, which Python lacks.
            return time.clock_gettime(~pid << 3 | 2)
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system
    except (OSError, OverflowError, psutil.Error):
        return None
