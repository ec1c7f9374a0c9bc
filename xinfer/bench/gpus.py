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

from xinfer.bench.stats import mean, present, ratio, values_of
from xinfer.gpus import gpus as gpus_here
from xinfer.gpus import watch
from xinfer.process_lifetime import PARENT_VARIABLE, die_with_parent

PERIOD_S = 0.2
WINDOW_S = 1.0
"""A reading is the driver's mean over the time before it: a sixth of a second to this, by the kind of GPU."""
_FIRST_S = 5.0
"""How long the first reading is waited for: a driver that nobody uses takes a second or two."""
_POLL_PERIOD_S = 0.01
_IDLE_SHARE = 0.01
"""A GPU that is busy for less of the time had nothing to do with the leg."""


@dataclass(frozen=True, slots=True)
class GpuUse:
    """Of one GPU during a leg, by all processes."""

    busy_share: float | None
    """Of the time, with anything running on it; None if it is not reported or the leg was too short."""
    memory_peak_mib: float | None


Uses = Mapping[str, GpuUse]
"""By the index of the GPU; empty where there is none."""


def busy_share(uses: Uses) -> float | None:
    """The mean over the GPUs that had anything to do; None if no GPU reports it."""
    shares: list[float] = values_of(uses.values(), "busy_share")
    if not shares:
        return None
    busy = [share for share in shares if share >= _IDLE_SHARE]
    return statistics.fmean(busy or shares)


def memory_peak_mib(uses: Uses) -> float | None:
    """The sum over the GPUs that had anything to do; over all of them if none had."""
    busy = [use for use in uses.values() if (use.busy_share or 0.0) >= _IDLE_SHARE]
    peaks: list[float] = values_of(busy or uses.values(), "memory_peak_mib")
    if not peaks:
        return None
    return sum(peaks)


# One process for the whole run reads the driver and writes to a file, so that the generator pays nothing before
# a leg is over, however long the driver takes to respond.
@dataclass(frozen=True, slots=True)
class Gpus:
    """The readings of this machine's GPUs, which go on until the end; there may be no GPU."""

    readings: int | None = None
    """The descriptor of their file."""
    only: Sequence[str] = ()
    skipped: int = 0
    """How many readings from the beginning of a leg are means over time before it, too."""

    @classmethod
    @contextmanager
    def watched(
        cls, only: Sequence[str] = (), period_s: float = PERIOD_S, window_s: float = WINDOW_S
    ) -> Iterator[Gpus]:
        """Watch all GPUs, or ``only`` those with these indexes; do nothing on a machine without a GPU.

        There is a reading already when it begins, unless the driver fails.
        """
        if not gpus_here():
            yield cls()
            return
        with tempfile.TemporaryFile() as file:
            process = _start_reader(file, period_s)
            gpus = cls(file.fileno(), tuple(only), math.ceil(window_s / period_s))
            try:
                gpus._wait_for_reading(process)
                yield gpus
            finally:
                process.kill()
                process.wait()

    def _wait_for_reading(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _FIRST_S
        while not self.mark() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL_PERIOD_S)

    def mark(self) -> int:
        """Where the readings to come begin."""
        if self.readings is None:
            return 0
        return os.fstat(self.readings).st_size

    def uses_since(self, mark: int) -> dict[str, GpuUse]:
        """Of each GPU from that mark until now."""
        if self.readings is None:
            return {}
        # By pread, which leaves the position alone: the writer has the same open file, and its position.
        text = os.pread(self.readings, self.mark() - mark, mark).decode(errors="replace")
        found = uses(text, self.skipped)
        if not self.only:
            return found
        return {index: use for index, use in found.items() if index in self.only}


def uses(readings: str, skipped: int = 0) -> dict[str, GpuUse]:
    """Of each GPU in these lines; the first ``skipped`` readings of each count for its memory alone."""
    percents: dict[str, list[int | None]] = defaultdict(list)
    memory: dict[str, list[int | None]] = defaultdict(list)
    for line in readings.splitlines():
        index, percent, mib = line.split()
        percents[index].append(_number(percent))
        memory[index].append(_number(mib))

    found: dict[str, GpuUse] = {}
    for index in percents:
        peak_mib = max(present(memory[index]), default=None)
        found[index] = GpuUse(ratio(mean(percents[index][skipped:]), 100), peak_mib)
    return found


def _start_reader(output: IO[bytes], period_s: float) -> subprocess.Popen[bytes]:
    env = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
    argv = [sys.executable, "-m", __name__, str(period_s)]
    return subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=output)


def _number(cell: str) -> int | None:
    if cell.isdecimal():
        return int(cell)
    return None


def _write_readings(period_s: float) -> None:
    """A line on stdout for each GPU and reading: index, percent of the time busy, MiB used.

    What a GPU does not report is ``None``.
    """
    for reading in watch(period_s):
        lines = [f"{gpu.index} {gpu.utilization} {gpu.memory_used_mib}\n" for gpu in reading]
        # One write for all of them, so that a reader of the file never sees half a line.
        os.write(sys.stdout.fileno(), "".join(lines).encode())


if __name__ == "__main__":
    # Or it would go on for ever when its reader has been killed.
    die_with_parent()
    _write_readings(float(sys.argv[1]))
