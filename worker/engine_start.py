"""Two ways to start an engine's process: forked from the node's warm host, or as a child of the worker."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from worker.fork_server.client import ForkedProcess, HostRefused
from worker.process import EngineProcess, ProcessGroup
from xinfer.cluster.fork_server import socket_path

Start = Callable[[Sequence[str], Mapping[str, str], Path], Awaitable[EngineProcess]]
"""Starts a command with exactly this environment; its output is added to the log."""

_log = logging.getLogger("ray.serve")
_PATIENCE_S = 60.0
_PROGRAM = 3
"""Words of an engine's command before its arguments: ``python -m worker.engine_server``."""


async def start_warm(argv: Sequence[str], env: Mapping[str, str], log: Path) -> EngineProcess:
    """An engine server forked from the warm host. Without one, or when it refuses, a plain start; the log says why."""
    host = socket_path()
    try:
        if host is None or not host.exists():
            raise HostRefused("there is none on this node")
        return await ForkedProcess.start(host, argv[_PROGRAM:], env, log, _PATIENCE_S)
    except HostRefused as reason:
        sentence = f"Starting without the warm host: {reason}."
        _log.warning("%s", sentence)
        _note(log, sentence)
        return await start_plain(argv, env, log)


async def start_plain(argv: Sequence[str], env: Mapping[str, str], log: Path) -> EngineProcess:
    """A child process that imports everything by itself."""
    return await ProcessGroup.start(argv, env, log)


def _note(log: Path, sentence: str) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(f"xinfer: {sentence}\n")
