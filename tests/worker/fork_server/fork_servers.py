"""A fork server whose engines are lines of Python, in a process of its own."""

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

_SCRIPT = """
import socket, sys, threading, time
sys.path.insert(0, {root!r})
from xinfer.process_lifetime import die_with_parent
from worker.fork_server.child import detach
from worker.fork_server import server
from worker.fork_server.server import ForkServer, Unfit
from worker.fork_server.fork_safety import snapshot_imports

listener = socket.socket(socket.AF_UNIX)
listener.bind({path!r})
listener.listen()

def import_all():
    import os
    os.environ.get("READ_AT_IMPORT")
    os.environ["SET_BY_IMPORT"] = "1"
    time.sleep({import_s})

snapshot = snapshot_imports(import_all)
print("ready", flush=True)
if {dirty}:
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
server._IDLE_S = 0.2
try:
    child = ForkServer(listener, snapshot, when_idle={when_idle}).run()
except Unfit:
    sys.exit(7)
detach(child, snapshot)
exec(child.request.arguments[0])
"""


@dataclass(frozen=True)
class RunningForkServer:
    """A fork server under test."""

    socket: Path
    process: subprocess.Popen[bytes]

    @property
    def env(self) -> dict[str, str]:
        """The environment it was started with, and so one that it takes."""
        return fork_server_environment()


def fork_server_environment() -> dict[str, str]:
    """This process's, without what differs from run to run."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


@contextmanager
def fork_server(
    folder: Path, *, import_s: float = 0, dirty: bool = False, when_idle: str = "None"
) -> Iterator[RunningForkServer]:
    """A fork server that is listening, ready after ``import_s`` seconds; ``dirty`` gives it a second thread.

    ``when_idle`` is Python, for a function without arguments that it calls after 0.2 s without a request.
    """
    path = folder / "fork-server.sock"
    script = _SCRIPT.format(root=str(ROOT), path=str(path), import_s=import_s, dirty=dirty, when_idle=when_idle)
    process = subprocess.Popen([sys.executable, "-c", script], env=fork_server_environment(), stdout=subprocess.PIPE)
    try:
        if import_s:
            wait_for(path.exists, 20, "the fork server's socket")
        else:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
        yield RunningForkServer(path, process)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
