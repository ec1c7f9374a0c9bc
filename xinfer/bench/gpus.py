"""How busy this machine's GPUs are during a leg, and how much of their memory is used."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from xinfer.gpus import gpus as gpus_here
from xinfer.gpus import watch
from xinfer.process_lifetime import PARENT_VARIABLE, die_with_parent

PERIOD_S = 0.2
WINDOW_S = 1.0
"""A reading is the driver's mean over some time before it: from a sixth of a second to this, by the kind of GPU."""
_FIRST_S = 5.0
"""A driver that nobody uses takes a second or two to tell; no leg begins meanwhile."""
_POLL_PERIOD_S = 0.01
_IDLE_SHARE = 0.01
"""A GPU that is busy for less of the time had nothing to do with the leg."""


@dataclass(frozen=True, slots=True)
class GpuUse:
    """Of one GPU during a leg, by whomever."""

    busy_share: float | None
    """Of the time, with anything running on it; None if the GPU does not tell, or the leg was too short to tell."""
    memory_peak_mib: float | None


Uses = Mapping[str, GpuUse]
"""By the index of the GPU; empty where there is none."""


def busy_share(uses: Uses) -> float | None:
    """The mean over the GPUs that had anything to do; None if no GPU tells."""
    shares = [use.busy_share for use in uses.values() if use.busy_share is not None]
    if shares:
        return statistics.fmean([share for share in shares if share >= _IDLE_SHARE] or shares)
    return None


def memory_peak_mib(uses: Uses) -> float | None:
    busy = [use for use in uses.values() if (use.busy_share or 0.0) >= _IDLE_SHARE] or list(uses.values())
    peaks = [use.memory_peak_mib for use in busy if use.memory_peak_mib is not None]
    if peaks:
        return sum(peaks)
    return None


# One process for the whole run reads the driver and writes to a file, so that the generator pays nothing before a leg is over,
# however long the driver takes to respond.
@dataclass(frozen=True, slots=True)
class Gpus:
    """The readings of this machine's GPUs, which go on; there may be none."""

    readings: int | None = None
    """The descriptor of their file. Its position is the writer's and is left alone."""
    only: Sequence[str] = ()
    skipped: int = 0
    """How many readings from the beginning of a leg tell of what was before it, too."""

    @classmethod
    @contextmanager
    def watched(
        cls, only: Sequence[str] = (), period_s: float = PERIOD_S, window_s: float = WINDOW_S
    ) -> Iterator[Gpus]:
        """All GPUs, or ``only`` those with these indexes, are watched until the end; nothing happens on a machine without.

        There is a reading already when it begins, unless the driver fails.
        """
        with tempfile.TemporaryFile() as file:
            process = _start_reader(file, period_s) if gpus_here() else None
            gpus = cls(file.fileno() if process else None, tuple(only), math.ceil(window_s / period_s))
            try:
                if process:
                    gpus._wait_for_reading(process)
                yield gpus
            finally:
                if process:
                    process.kill()
                    process.wait()

    def _wait_for_reading(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _FIRST_S
        while not self.mark() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL_PERIOD_S)

    def mark(self) -> int:
        if self.readings is None:
            return 0
        return os.fstat(self.readings).st_size

    def uses_since(self, mark: int) -> dict[str, GpuUse]:
        """Of each GPU from that moment until now."""
        if self.readings is None:
            return {}
        found = uses(os.pread(self.readings, self.mark() - mark, mark).decode(errors="replace"), self.skipped)
        return {index: use for index, use in found.items() if not self.only or index in self.only}


def uses(readings: str, skipped: int = 0) -> dict[str, GpuUse]:
    """Of each GPU in these lines; the first ``skipped`` readings of each count for its memory alone."""
    busy: dict[str, list[int | None]] = defaultdict(list)
    memory: dict[str, list[int | None]] = defaultdict(list)
    for line in readings.splitlines():
        index, percent, mib = line.split()
        busy[index].append(_number(percent))
        memory[index].append(_number(mib))
    return {index: GpuUse(_mean_share(busy[index][skipped:]), _peak(memory[index])) for index in busy}


def _mean_share(percents: Sequence[int | None]) -> float | None:
    there = [percent for percent in percents if percent is not None]
    if there:
        return statistics.fmean(there) / 100
    return None


def _peak(mib: Sequence[int | None]) -> int | None:
    return max((each for each in mib if each is not None), default=None)


def _start_reader(output: IO[bytes], period_s: float) -> subprocess.Popen[bytes]:
    env = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
    argv = [sys.executable, "-m", __name__, str(period_s)]
    return subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=output)


def _number(cell: str) -> int | None:
    return int(cell) if cell.isdecimal() else None


def _write_readings(period_s: float) -> None:
    """A line for each GPU and reading on stdout: index, percent of the time busy, MiB used; ``None`` where it is not reported."""
    for reading in watch(period_s):
        lines = [f"{gpu.index} {gpu.utilization} {gpu.memory_used_mib}\n" for gpu in reading]
        # One write for all of them, so that a reader of the file never sees half a line.
        os.write(sys.stdout.fileno(), "".join(lines).encode())


if __name__ == "__main__":
    # It goes on for ever when its reader has been killed.
    die_with_parent()
    _write_readings(float(sys.argv[1]))
