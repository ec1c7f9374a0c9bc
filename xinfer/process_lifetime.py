"""Processes that must not outlive the one that started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator

PARENT_VARIABLE = "XINFER_PARENT_PID"
"""Environment variable in which a parent tells its child who it is."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone, however that one ended (``man 2 prctl``)."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    expected = os.environ.pop(PARENT_VARIABLE, None)
    if expected and os.getppid() != int(expected):
        # It died between the fork and the line above.
        os._exit(1)


def die_with_parent_from_fork_on() -> None:
    """Have every process that this one or its descendants fork from now on (``os.fork``) die with the one that forked it."""
    parent = 0

    def remember() -> None:
        nonlocal parent
        parent = os.getpid()

    def follow() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    os.register_at_fork(before=remember, after_in_child=follow)


def adopt_orphans() -> None:
    """Become the parent of any descendant whose own parent dies, in place of init (``man 2 prctl``)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """SIGTERM is as Ctrl-C meanwhile, by which everything that was started is ended, too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _prctl(option: int, argument: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0)
