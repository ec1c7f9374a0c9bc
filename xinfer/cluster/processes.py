"""The processes of one cluster, found by the mark in their environment and never by their names."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable

import psutil

from xinfer.cluster.environment import MARK

_POLL_S = 0.02
_KILLED_S = 5.0


def of_cluster(cluster_id: str) -> list[psutil.Process]:
    """Every living process of this cluster that this user may see, this process excepted."""
    return [p for p in psutil.process_iter() if p.pid != os.getpid() and _belongs(p, cluster_id)]


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs still; one that has ended and is not yet waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def command_line(process: psutil.Process) -> str:
    """Its words, or the title that it gave itself; empty if it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _belongs(process: psutil.Process, cluster_id: str) -> bool:
    try:
        return process.environ().get(MARK) == cluster_id and is_alive(process)
    except (psutil.Error, OSError):
        return False


def end(processes: Iterable[psutil.Process], grace_s: float) -> None:
    """SIGTERM to all, SIGKILL after ``grace_s`` seconds to those that are left; returns when they have ended."""
    victims = list(processes)
    for process in victims:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    alive = _left_of(victims, grace_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _left_of(alive, _KILLED_S)


def _left_of(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Those that still run, after ``timeout_s`` seconds at most.

    ``psutil.wait_procs`` waits for their parents, too, to collect them. Orphans are the first process's, which may take its time.
    """
    deadline = time.monotonic() + timeout_s
    while (alive := [process for process in processes if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return alive
