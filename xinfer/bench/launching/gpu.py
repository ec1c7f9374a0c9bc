"""Memory of the machine's GPUs, as the driver counts it."""

from __future__ import annotations

import shutil
import subprocess

_QUERY = ("--query-gpu=uuid,memory.used", "--format=csv,noheader,nounits")
_TIMEOUT_S = 10.0


def used_mib() -> dict[str, int]:
    """In use on each GPU, by whomever; empty on a machine without."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return {}
    done = subprocess.run([command, *_QUERY], capture_output=True, text=True, timeout=_TIMEOUT_S)
    return read(done.stdout) if done.returncode == 0 else {}


def read(text: str) -> dict[str, int]:
    """What ``nvidia-smi`` says, a line for each GPU."""
    pairs = (line.split(", ") for line in text.splitlines() if ", " in line)
    return {name: int(mib) for name, mib in pairs if mib.isdecimal()}
