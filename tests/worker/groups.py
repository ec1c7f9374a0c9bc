"""Which processes of a group are still there."""

from __future__ import annotations

import os

import psutil


def is_alive(pid: int) -> bool:
    """Whether there is such a process and it has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def group_of(pid: int) -> list[int]:
    """The processes of the group ``pid`` that have not ended."""
    return [each for each in psutil.pids() if _group(each) == pid and is_alive(each)]


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None
