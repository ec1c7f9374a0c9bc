"""Commands that take long and clean up behind them, if they are let. Needs no package."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from xinfer.process_lifetime import sigterm_interrupts

_CLEAN_UP_S = 60.0


def run(argv: Sequence[str], timeout_s: float, *, env: Mapping[str, str], cwd: Path | None = None) -> int:
    """A command's exit code. It is interrupted when its time is up, or when this process is, and then has time to clean up."""
    with sigterm_interrupts():
        process = subprocess.Popen(argv, cwd=cwd, env=env, process_group=0)  # signals to ours are passed on, once
        try:
            return process.wait(timeout_s)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as reason:
            process.send_signal(signal.SIGINT)
            code = process.wait(_CLEAN_UP_S)
            if isinstance(reason, KeyboardInterrupt):
                raise
            return code
