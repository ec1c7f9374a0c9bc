"""Lets an engine's threads go before the threads that carry its tokens."""

from __future__ import annotations

import contextlib
import os


def use_batch_scheduling() -> None:
    """Schedule this thread, and those it starts, as ``SCHED_BATCH`` (sched(7)): waking up, they preempt no other thread.

    On an idle core they still run at once. Nothing changes where the system does not have it or does not allow it.
    """
    # Every request waits for the engine's step. A step that is interrupted to carry off each token delays all of them.
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
