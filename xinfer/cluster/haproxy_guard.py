"""Keeps a node's ingress up while Serve replaces an HAProxy that died.

Run as ``python -m xinfer.cluster.haproxy_guard PID NODE_PID BINARY config=FILE``.
Serve notices the loss by its health check and starts another one some 20 s later; until then nobody could connect. So every
HAProxy has a guard, which runs a stand-in with the same configuration from the moment HAProxy is gone until its successor is up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import psutil

from xinfer.cluster import tls
from xinfer.cluster.processes import is_alive
from xinfer.process_lifetime import die_with_parent

_CONFIG = "config="
_SOCKET = re.compile(r"^(\s*stats socket )(\S+)", re.MULTILINE)
_USE_BACKEND = re.compile(r"^\s*use_backend ", re.MULTILINE)
_PID = re.compile(rb"^Pid: (\d+)$", re.MULTILINE)
_STAND_IN = ".stand-in"
_LOOK_PERIOD_MS = 5000
_POLL_PERIOD_S = 0.1
_SERVE_REPLACES_IN_S = 120.0
"""After this long without a successor the cluster itself is taken to be gone."""


def start(pid: int, node_pid: int, binary: Path, config: Path) -> subprocess.Popen[bytes]:
    """Start the guard of the HAProxy that is, or is about to be, process ``pid``. It ends with ``node_pid``, the raylet."""
    # Not the bare path: Serve takes every process that has it among its arguments for an HAProxy.
    argv = [
        sys.executable,
        "-m",
        "xinfer.cluster.haproxy_guard",
        str(pid),
        str(node_pid),
        str(binary),
        f"{_CONFIG}{config}",
    ]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)


def take_over(config: Path) -> list[str]:
    """HAProxy's arguments by which it gets the listening sockets of a stand-in that runs; none if none does.

    A connection that waits to be accepted is then not lost. Serve's new HAProxy begins without a backend and would answer every
    request with 404 until Serve has told it of them: it begins with those of the stand-in.
    """
    admin_socket = _admin_socket(config)
    if admin_socket is None or _pid_behind(admin_socket + _STAND_IN) is None:
        return []
    if _USE_BACKEND.search(config.read_text()) is None:
        text = _stand_in_config(config).read_text()
        config.write_text(_SOCKET.sub(lambda line: line[0].removesuffix(_STAND_IN), text))
    return ["-x", admin_socket + _STAND_IN]


class HaproxyGuard:
    """The guard of one HAProxy."""

    def __init__(self, pid: int, node_pid: int, binary: Path, config: Path) -> None:
        self._pid = pid
        self._node_pid = node_pid
        self._binary = binary
        self._config = config

    def run(self) -> None:
        """Wait until HAProxy ends; if nothing has taken its place, stand in for it until something does."""
        if not _first_to_go(self._node_pid, self._pid, self._certificate_watch()):
            return
        deadline = time.monotonic() + _SERVE_REPLACES_IN_S
        stand_in: subprocess.Popen[bytes] | None = None

        with _turn_file(self._config) as turn:
            while not self._has_successor() and time.monotonic() < deadline:
                if not _is_alive(self._node_pid):
                    # The stand-in ends with this process.
                    return
                if (stand_in is None or stand_in.poll() is not None) and _takes(turn):
                    stand_in = self._start_stand_in()
                time.sleep(_POLL_PERIOD_S)

            if stand_in:
                # Takes no new connection and ends with its last one; both listen meanwhile.
                stand_in.send_signal(signal.SIGUSR1)
        if stand_in:
            stand_in.wait()

    def _certificate_watch(self) -> Callable[[], object]:
        certificate = os.environ.get(tls.CERTIFICATE)
        admin_socket = _admin_socket(self._config)
        if not certificate or admin_socket is None:
            return lambda: None
        home = Path(os.environ[tls.PEM]).parent.parent
        return tls.CertificateWatch(admin_socket, home, certificate, os.environ.get(tls.KEY)).look

    def _start_stand_in(self) -> subprocess.Popen[bytes]:
        # Its admin socket is another one, so that Serve still finds its own HAProxy missing and starts a new one.
        config = _stand_in_config(self._config)
        config.write_text(_SOCKET.sub(rf"\1\2{_STAND_IN}", self._config.read_text()))
        return subprocess.Popen([str(self._binary), "-db", "-f", str(config)], preexec_fn=die_with_parent)

    def _has_successor(self) -> bool:
        """True if an HAProxy with another process id has the admin socket."""
        admin_socket = _admin_socket(self._config)
        if admin_socket is None:
            return True
        pid = _pid_behind(admin_socket)
        return pid is not None and pid != self._pid


def _turn_file(config: Path) -> TextIO:
    """To be locked by the guard whose stand-in runs.

    When an HAProxy is lost in the middle of a reload, so is the one that was to take its sockets: two guards see the loss, and of
    two stand-ins, the one whose sockets the successor does not get would leave connections unanswered.
    """
    return config.with_suffix(f"{_STAND_IN}.lock").open("w")


def _takes(turn: TextIO) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _stand_in_config(config: Path) -> Path:
    return config.with_suffix(f"{_STAND_IN}.cfg")


def _admin_socket(config: Path) -> str | None:
    found = _SOCKET.search(config.read_text())
    if found:
        return found[2]
    return None


def _first_to_go(node_pid: int, pid: int, idle: Callable[[], object] = lambda: None) -> bool:
    """Wait until one of the two processes has ended; True if the node's has not. ``idle`` is called now and then meanwhile."""
    poller = select.poll()
    descriptors: list[int] = []
    for each in (node_pid, pid):
        try:
            descriptor = os.pidfd_open(each)
        except ProcessLookupError:
            break
        descriptors.append(descriptor)
        poller.register(descriptor, select.POLLIN)
    else:
        while not poller.poll(_LOOK_PERIOD_MS):
            idle()
    for descriptor in descriptors:
        os.close(descriptor)
    return _is_alive(node_pid)


def _is_alive(pid: int) -> bool:
    try:
        return is_alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


def _pid_behind(path: str) -> int | None:
    """The process that answers ``show info`` on an admin socket (HAProxy's management guide, 9.3)."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(path)
            connection.sendall(b"show info\n")
            info = b""
            while piece := connection.recv(65536):
                info += piece
    except OSError:
        return None
    found = _PID.search(info)
    if found:
        return int(found[1])
    return None


if __name__ == "__main__":
    HaproxyGuard(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4].removeprefix(_CONFIG))).run()
