"""The end of a log file."""

from __future__ import annotations

from pathlib import Path


def tail(path: Path, size: int = 64 * 1024) -> list[str]:
    """The last lines of a log, at most ``size`` bytes of it; none if there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - size))
            return file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
