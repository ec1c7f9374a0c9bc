"""What processes take while nobody asks anything."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil

from xinfer.bench import cpu


def cpu_percent(processes: Iterable[psutil.Process], seconds: float) -> float:
    """CPU time of all that live so long, in percent of a core."""
    watched = {str(process.pid): [process.pid] for process in processes}
    before = cpu.cpu_seconds(watched)
    time.sleep(seconds)
    spent = cpu.between(before, cpu.cpu_seconds(watched))
    return 100 * sum(spent.values()) / seconds
