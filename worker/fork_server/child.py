"""What a forked process does before it is an engine server of its own."""

from __future__ import annotations

import logging
import os
import random
import signal
import tempfile

from worker.death_pipe import hang_on
from worker.fork_server.fork_safety import Warmth
from worker.fork_server.server import Child


def settle(child: Child, warmth: Warmth) -> None:
    """Leave the host: own session and process group, own log, environment, signals and random numbers, tied to the worker."""
    os.setsid()
    hang_on(child.lifeline)
    _reset_signals()
    _redirect(child.log)
    os.environ.clear()
    os.environ.update(warmth.environment(child.request.env))
    os.chdir(child.request.folder)
    # Looked for again, in the new environment.
    tempfile.tempdir = None
    random.seed()
    logging.getLogger("xinfer.host").handlers.clear()


def _reset_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    # As in any Python process.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _redirect(log: int) -> None:
    """The log takes what the process prints; it reads nothing."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
