"""A cluster of the benchmark's own: a folder and ports that nobody else has, and nothing left of it afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import MARK
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.ports import free_port
from xinfer.errors import LaunchFailed

_HOST = "127.0.0.1"
_START_S = 300.0
_TOLD_LINES = 5
_HAPROXY_PORTS = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT")
_NOT_ITS = (MARK, "XINFER_ENDPOINT", "XINFERENCE_ENDPOINT", "XINFER_HOME")


class Cluster:
    """One that is yet to be started, with its files in ``home``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports = ["--port", _free(), "--ray-port", _free()]
        # The usual ones may be another cluster's.
        self._haproxy = {variable: _free() for variable in _HAPROXY_PORTS}
        self.log = home / "start.log"

    @property
    def endpoint(self) -> str:
        return f"http://{_HOST}:{self.ports[1]}"

    @property
    def env(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_ITS}
        return {**inherited, **self._haproxy, "XINFER_HOME": str(self.home)}

    @property
    def id(self) -> str:
        """By which its processes are known; empty while it does not run."""
        record = ClusterRecord.load(self.home)
        if record:
            return record.id
        return ""

    def start(self, *words: str) -> None:
        """``xinfer start WORDS``, until it returns; ``LaunchFailed`` with its last lines if it fails."""
        argv = [sys.executable, "-m", "xinfer.cli", "start", *self.ports, *words]
        process = self.popen(argv)
        try:
            code = process.wait(_START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code != 0:
            raise LaunchFailed(f"`xinfer start` did not come up: {self.last_words}")

    def popen(self, argv: list[str], *, new_session: bool = False, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a command with the cluster's environment; what it says is in ``log``."""
        with self.log.open("wb") as output:
            return subprocess.Popen(
                argv,
                env=self.env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=new_session,
            )

    @property
    def last_words(self) -> str:
        """The end of what the command said, in one line."""
        lines = self.log.read_text(errors="replace").split("\n")
        return " ".join(line.strip() for line in lines[-_TOLD_LINES:] if line.strip())


def _free() -> str:
    return str(free_port(_HOST))


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A cluster to start. Whatever was started is ended, and its folder removed, when the block is left."""
    # Its sockets need a short path.
    home = Path(tempfile.mkdtemp(prefix="xb-", dir="/tmp"))
    try:
        yield Cluster(home)
    finally:
        NodeLifecycle(home).stop()
        shutil.rmtree(home, ignore_errors=True)
