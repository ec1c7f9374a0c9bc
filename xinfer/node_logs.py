"""The logs that a node has beside those of its engines, read on the node itself."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from xinfer.cluster.environment import MARK, socket_folder
from xinfer.engine_log import tail
from xinfer.request_log import folder, lines_about

_MOST_BYTES = 256 * 1024
_MOST_LINES = 10_000
_LABELS_OF_RAY = (":job_id:", ":actor_name:", ":task_name:")
"""How lines begin that Ray writes to know whose log it is."""
LogLines = tuple[str, list[str]]
"""The name of a log, and lines of it in their order."""


def last_lines(home: Path, count: int) -> list[LogLines]:
    """The last ``count`` lines of each log that has any, the one that was written to last at the end."""
    found: list[tuple[float, LogLines]] = []
    for path, name in _files(home):
        lines = [line for line in tail(path, _MOST_BYTES) if not line.startswith(_LABELS_OF_RAY)][-count:]
        if lines:
            found.append((path.stat().st_mtime, (name, lines)))
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def about_request(home: Path, request_id: str) -> list[LogLines]:
    """The lines of supervisors and engines that name this request."""
    lines = [line for line, _ in zip(lines_about(request_id, home), range(_MOST_LINES), strict=False)]
    return [("requests and engines", lines)] if lines else []


def _files(home: Path) -> Iterable[tuple[Path, str]]:
    logs = home / "logs"
    for path in (logs / "boot.log", logs / "ray.log"):
        if path.exists():
            yield path, path.name
    for path in folder(home).glob("*.log"):
        yield path, f"requests/{path.name}"
    ray = _ray_logs(home)
    # The registry's own words are among the latter.
    for pattern in ("serve/*.log", "worker-*.err"):
        for path in ray.glob(pattern):
            yield path, f"ray/{path.relative_to(ray)}"


def _ray_logs(home: Path) -> Path:
    """Where Ray writes: below the node's folder, or beside its sockets where that path is too long for them."""
    session = Path("ray") / "session_latest" / "logs"
    cluster_id = os.environ.get(MARK)
    if cluster_id and (socket_folder(cluster_id) / session).is_dir():
        return socket_folder(cluster_id) / session
    return home / session
