"""``python -m supervisor.nodes.ray_node start ...``: Ray's own command on a node, and the fork server of its workers beside it.

Both are one process until Ray is imported. As it is, Ray reads the environment, and there what it tells each worker: its job,
which none has at first, and the raylet with which the worker ends. The raylet is not there yet, so its parent, this process, has
its place: it ends when the raylet does.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from xinfer.cluster.environment import MARK, socket_folder
from xinfer.process_lifetime import PARENT_VARIABLE, die_with_parent

_BEFORE = "XINFER_ENVIRONMENT_BEFORE"
"""The values, as JSON, that variables had which were set for workers. Set once this process has started with them."""
_NO_JOB = "ffffffff"
_ALLOCATOR = {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1"}
"""Glibc's, for what ``supervisor.gateway.memory_trim`` does."""


def main() -> None:
    """Start again with the environment of workers, then become Ray's command, with the fork server as a child."""
    if _BEFORE not in os.environ:
        _start_again()

    import ray  # noqa: F401

    parent = os.getpid()
    if os.fork() == 0:
        _be_fork_server(parent)
    for name, value in json.loads(os.environ.pop(_BEFORE)).items():
        del os.environ[name]
        if value is not None:
            os.environ[name] = value

    from supervisor.nodes import ray_command

    ray_command.run(_socket())


def _start_again() -> None:
    wanted = {
        **{name: os.environ.get(name, value) for name, value in _ALLOCATOR.items()},
        "RAY_JOB_ID": _NO_JOB,
        "RAY_RAYLET_PID": str(os.getpid()),
        # NumPy would start a thread for each core, and a process with threads cannot be forked.
        "OPENBLAS_NUM_THREADS": "1",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.execve(sys.executable, sys.orig_argv, {**os.environ, **wanted, _BEFORE: json.dumps(before)})


def _be_fork_server(parent: int) -> None:
    """Fork workers, and in each run Ray's script; does not return."""
    os.environ[PARENT_VARIABLE] = str(parent)
    die_with_parent()

    from supervisor.nodes.ray_workers import fork_server

    fork_server.run(_socket())
    sys.exit(0)


def _socket() -> Path:
    return socket_folder(os.environ[MARK]) / "workers.sock"


if __name__ == "__main__":
    main()
