"""Processes that must not outlive the one that started them."""

from __future__ import annotations

import ctypes
import os
import signal

PARENT_VARIABLE = "XINFER_PARENT_PID"
"""Environment variable in which a parent tells its child who it is."""
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone, however that one ended (``man 2 prctl``)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    expected = os.environ.pop(PARENT_VARIABLE, None)
    if expected and os.getppid() != int(expected):
        os._exit(1)  # it died between the fork and the line above
