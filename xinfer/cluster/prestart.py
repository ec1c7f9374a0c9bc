"""What a node's spare processes import ahead, so that a process started ahead of its replica has the replica's modules already.

Ray has every process of a node import the same modules as it starts. So what they import is a module that imports the rest only
while spare processes are being started: for the others it would be a quarter of a second and 20 MB for nothing.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

PRELOAD_VARIABLE = "RAY_preload_python_modules"
"""Ray's setting ``preload_python_modules``, as an environment variable."""
PRELOADED_MODULES = "worker.spare_imports"
# From the request to Ray until the process has begun to import, on a busy machine.
_STARTING_S = 20.0


def wanted() -> bool:
    """Whether this process belongs to a cluster that starts worker processes ahead."""
    return os.environ.get(PRELOAD_VARIABLE) == PRELOADED_MODULES


def announce(home: Path) -> None:
    """Have the processes that Ray starts on this node in the next moments import what a replica needs."""
    _file(home).touch()


def is_announced(home: Path) -> bool:
    """Whether spare processes are being started on this node."""
    try:
        age_s = time.time() - _file(home).stat().st_mtime
    except FileNotFoundError:
        return False
    return age_s < _STARTING_S


def _file(home: Path) -> Path:
    return home / "run" / "prestart"
