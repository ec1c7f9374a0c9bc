"""Ties processes to one that is not their parent.

The holder keeps the write end of a pipe, the others its read end. The kernel closes the write end
when the holder dies, however it dies, and then kills the whole process group of the others
(``man 2 fcntl``: F_SETOWN, F_SETSIG, O_ASYNC). No code of theirs has to run for that, so a process
that hangs is killed as well.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal

# Linux only, and missing from the module ``fcntl``.
_F_SETSIG = 10


class DeathPipe:
    """The holder's side of the pipe."""

    def __init__(self) -> None:
        self.read_end, self._write_end = os.pipe()

    def close_read_end(self) -> None:
        """Close the read end in this process, once the tied processes have inherited it."""
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1

    def kill(self) -> None:
        """Kill the tied processes. Safe to call twice."""
        self.close_read_end()
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1


def die_with_pipe(read_end: int) -> None:
    """Tie this process's group to the holder of the write end. Kills the group if it has gone."""
    fcntl.fcntl(read_end, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(read_end, _F_SETSIG, signal.SIGKILL)

    flags = fcntl.fcntl(read_end, fcntl.F_GETFL)
    fcntl.fcntl(read_end, fcntl.F_SETFL, flags | os.O_ASYNC)

    # The holder may have died before O_ASYNC was set, and no signal follows then. Nobody ever
    # writes to the pipe, so it is readable only at its end.
    readable, _, _ = select.select([read_end], [], [], 0)
    if readable:
        os.killpg(os.getpgrp(), signal.SIGKILL)
