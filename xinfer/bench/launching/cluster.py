"""A cluster of the benchmark's own: in a folder and on ports that nothing else uses, and gone afterwards."""

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
_LAST_LINES = 5
_HAPROXY_PORTS = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT")
# With these its processes would count as another cluster's, and its commands would find that one.
_NOT_INHERITED = (MARK, "XINFER_ENDPOINT", "XINFERENCE_ENDPOINT", "XINFER_HOME")


class Cluster:
    """A cluster that is not started yet, with its files in ``home``."""

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
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        return {**inherited, **self._haproxy, "XINFER_HOME": str(self.home)}

    @property
    def id(self) -> str:
        """The mark of its processes; empty while it does not run."""
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
            raise LaunchFailed(f"`xinfer start` did not come up: {self.last_lines}")

    def popen(self, argv: list[str], *, new_session: bool = False, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a command in the cluster's environment, with its output in ``log``."""
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
    def last_lines(self) -> str:
        """The end of the command's output, in one line."""
        lines = self.log.read_text(errors="replace").split("\n")
        return " ".join(filter(None, map(str.strip, lines[-_LAST_LINES:])))


def _free() -> str:
    return str(free_port(_HOST))


@contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A cluster to start. After the block everything that was started has ended, and its folder is gone."""
    # Its sockets need a short path.
    home = Path(tempfile.mkdtemp(prefix="xb-", dir="/tmp"))
    try:
        yield Cluster(home)
    finally:
        NodeLifecycle(home).stop()
        shutil.rmtree(home, ignore_errors=True)
