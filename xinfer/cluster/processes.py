"""The processes of one cluster, found by the mark in their environment and never by their names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

import psutil

from xinfer.cluster.environment import MARK


def of_cluster(cluster_id: str) -> list[psutil.Process]:
    """Every living process of this cluster that this user may see, this process excepted."""
    return [p for p in psutil.process_iter() if p.pid != os.getpid() and _belongs(p, cluster_id)]


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs still; one that has ended and is not yet waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _belongs(process: psutil.Process, cluster_id: str) -> bool:
    try:
        return process.environ().get(MARK) == cluster_id and is_alive(process)
    except (psutil.Error, OSError):
        return False


def end(processes: Iterable[psutil.Process], grace_s: float) -> None:
    """SIGTERM to all, SIGKILL after ``grace_s`` seconds to those that are left; returns when they are gone."""
    victims = list(processes)
    for process in victims:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(victims, timeout=grace_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
