"""The processes of an xinfer cluster on this machine that every request passes through."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from xinfer.cluster import processes
from xinfer.cluster.cluster_record import ClusterRecord

_HERE = ("127.0.0.1", "localhost", "0.0.0.0", "::1", "::")
_SUPERVISOR = "ServeReplica:xinfer:supervisor"


def on_the_way(urls: Iterable[str], home: Path) -> dict[str, list[int]]:
    """``supervisor`` and ``haproxy`` with their process ids, if one of ``urls`` is the cluster's that runs here; else nothing."""
    record = ClusterRecord.load(home)
    if record is None or record.endpoint is None or not any(_same(url, record.endpoint) for url in urls):
        return {}
    found: dict[str, list[int]] = {}
    for process in processes.of_cluster(record.id):
        role = _role(process)
        if role:
            found.setdefault(role, []).append(process.pid)
    return found


def _same(url: str, endpoint: str) -> bool:
    """Whether both are one address; all names of this machine are one."""
    ours, theirs = ((parts.hostname, parts.port) for parts in map(urlsplit, (url, endpoint)))
    return ours == theirs or (ours[0] in _HERE and theirs[0] in _HERE and ours[1] == theirs[1])


def _role(process: psutil.Process) -> str | None:
    try:
        if process.name() == "haproxy":
            return "haproxy"
        if _SUPERVISOR in " ".join(process.cmdline()):
            return "supervisor"
        return None
    except psutil.Error:
        return None
