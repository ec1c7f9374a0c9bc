"""Who comes first when an engine and what carries its tokens want the same core."""

from __future__ import annotations

import contextlib
import os


def use_batch_scheduling() -> None:
    """From now on this thread, and those it starts, interrupt no other when they wake up; on an idle core they run at once.

    Linux calls it ``SCHED_BATCH`` (sched(7)). An engine's step is what everybody waits for: one that is interrupted for each
    of its tokens to be carried off makes all of them later. Elsewhere, or where it is not allowed, nothing changes.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
