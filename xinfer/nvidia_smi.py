"""What NVIDIA's command tells of this machine's GPUs, where its library is not at hand."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

from xinfer.process_lifetime import die_with_parent

_COMMAND = "nvidia-smi"
_TIMEOUT_S = 20.0
_CUDA_VERSION = re.compile(r"^CUDA Version *: *([\d.]+)", re.MULTILINE)


def query_gpus(*fields: str, timeout_s: float = _TIMEOUT_S) -> str | None:
    """A line for each GPU with its ``fields``, parted by commas and without units; None without a GPU, a driver or an answer."""
    return _ask(*_query(fields), timeout_s=timeout_s)


def cuda_version() -> str | None:
    """The newest CUDA that the driver runs; None if it does not tell."""
    found = _CUDA_VERSION.search(_ask("--version", timeout_s=_TIMEOUT_S) or "")
    if found:
        return found[1]
    return None


def stream_gpus(output: IO[bytes], *fields: str, period_s: float) -> subprocess.Popen[bytes] | None:
    """Have such lines written to ``output`` again and again, until the process is ended or this one is gone.

    None on a machine without the command.
    """
    if shutil.which(_COMMAND) is None:
        return None
    # Run as below, since the command goes on for ever when the one that reads it has been killed.
    argv = [sys.executable, "-m", __name__, *_query(fields), f"--loop-ms={1000 * period_s:.0f}"]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL)


def rows(lines: str | None, width: int) -> Iterator[list[str]]:
    """The cells of such lines; whatever the command says beside them is left out."""
    return (row for row in csv.reader((lines or "").splitlines(), skipinitialspace=True) if len(row) == width)


def number(cell: str) -> int | None:
    """What a cell says; None where the GPU does not tell, as one that is split may not: ``[N/A]``."""
    if cell.isdecimal():
        return int(cell)
    return None


def _query(fields: tuple[str, ...]) -> list[str]:
    return [f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]


def _ask(*arguments: str, timeout_s: float) -> str | None:
    try:
        done = subprocess.run([_COMMAND, *arguments], capture_output=True, text=True, timeout=timeout_s, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


if __name__ == "__main__":
    die_with_parent()
    os.execvp(_COMMAND, [_COMMAND, *sys.argv[1:]])
