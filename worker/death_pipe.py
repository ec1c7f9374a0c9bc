"""Ties processes to one that is not their parent.

The holder keeps the writing end of a pipe, the others its reading end. When the last writing end is closed, which the kernel does
for a process that dies in whatever way, the kernel itself kills the whole process group of the others: no code of theirs has to
run for that, so a process that hangs goes as well (``man 2 fcntl``: F_SETOWN, F_SETSIG, O_ASYNC).
"""

from __future__ import annotations

import fcntl
import os
import select
import signal

_F_SETSIG = 10


class Lifeline:
    def __init__(self) -> None:
        self.reading_end, self._writing_end = os.pipe()

    def handed_over(self) -> None:
        """Close the reading end here, once those who are tied have it."""
        if self.reading_end >= 0:
            os.close(self.reading_end)
            self.reading_end = -1

    def cut(self) -> None:
        """End those who are tied. Safe to call twice."""
        self.handed_over()
        if self._writing_end >= 0:
            os.close(self._writing_end)
            self._writing_end = -1


def hang_on(reading_end: int) -> None:
    """Tie this process's group to whoever holds the other end; ends it here and now if nobody does any more."""
    fcntl.fcntl(reading_end, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(reading_end, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(reading_end, fcntl.F_SETFL, fcntl.fcntl(reading_end, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([reading_end], [], [], 0)[0]:  # nobody ever writes: what is there to read is the end
        os.killpg(os.getpgrp(), signal.SIGKILL)
