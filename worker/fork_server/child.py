"""What a forked process does before it becomes an engine server."""

from __future__ import annotations

import logging
import os
import random
import signal
import tempfile

from worker.death_pipe import die_with_pipe
from worker.fork_server.fork_safety import ImportSnapshot
from worker.fork_server.server import Child


def detach(child: Child, snapshot: ImportSnapshot) -> None:
    """Undo what was inherited from the fork server, and tie this process to its worker.

    Afterwards it has a session and process group, log, environment, signal handlers and random
    numbers of its own.
    """
    os.setsid()
    die_with_pipe(child.death_pipe)
    _reset_signals()
    _redirect(child.log)

    os.environ.clear()
    os.environ.update(snapshot.environment(child.request.env))
    os.chdir(child.request.folder)

    # tempfile caches the folder that it found in the fork server's environment.
    tempfile.tempdir = None
    # Engines that were forked with one state would draw the same numbers.
    random.seed()
    logging.getLogger("xinfer.fork_server").handlers.clear()


def _reset_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)

    # Python's own default for SIGINT is not the kernel's.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _redirect(log: int) -> None:
    """Send standard output and error to the log; standard input is empty."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
