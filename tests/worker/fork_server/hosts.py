"""A warm host whose engines are lines of Python, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.waiting import wait_for

_HOST = """
import socket, sys, threading, time
sys.path.insert(0, {root!r})
from xinfer.process_lifetime import die_with_parent
from worker.fork_server.child import settle
from worker.fork_server.server import Loop, Unfit
from worker.fork_server.fork_safety import warm_up

listener = socket.socket(socket.AF_UNIX)
listener.bind({path!r})
listener.listen()

def import_all():
    import os
    os.environ.get("READ_AT_IMPORT")
    os.environ["SET_BY_IMPORT"] = "1"
    time.sleep({warm_s})

warmth = warm_up(import_all)
print("ready", flush=True)
if {dirty}:
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
try:
    child = Loop(listener, warmth).run()
except Unfit:
    sys.exit(7)
settle(child, warmth)
exec(child.request.arguments[0])
"""


@dataclass(frozen=True)
class RunningHost:
    """A host under test."""

    socket: Path
    process: subprocess.Popen[bytes]

    @property
    def env(self) -> dict[str, str]:
        """The environment it was started with, and so one that it takes."""
        return host_environment()


def host_environment() -> dict[str, str]:
    """This process's, without what differs from run to run."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


@contextmanager
def host(folder: Path, *, warm_s: float = 0, dirty: bool = False) -> Iterator[RunningHost]:
    """A host that is listening, ready after ``warm_s`` seconds; ``dirty`` gives it a second thread."""
    path = folder / "host.sock"
    script = _HOST.format(root=str(ROOT), path=str(path), warm_s=warm_s, dirty=dirty)
    process = subprocess.Popen([sys.executable, "-c", script], env=host_environment(), stdout=subprocess.PIPE)
    try:
        if warm_s:
            wait_for(path.exists, 20, "the host's socket")
        else:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
        yield RunningHost(path, process)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
