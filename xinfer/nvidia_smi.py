"""What NVIDIA's command tells of this machine's GPUs, where its library is not at hand."""

from __future__ import annotations

import subprocess

_TIMEOUT_S = 20.0


def query_gpus(*fields: str, timeout_s: float = _TIMEOUT_S) -> str | None:
    """A line for each GPU with its ``fields``, parted by commas and without units; None without a GPU, a driver or an answer."""
    argv = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
