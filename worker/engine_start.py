"""Two ways to start an engine's process: by the node's fork server, or as a child of the worker."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from worker.fork_server.client import ForkedProcess, ForkRefused
from worker.process import EngineProcess, ProcessGroup
from xinfer.cluster.fork_server import socket_path

Start = Callable[[Sequence[str], Mapping[str, str], Path], Awaitable[EngineProcess]]
"""Starts a command with exactly this environment; its output is added to the log."""

_log = logging.getLogger("xinfer.worker")
# Longer than a fork server's imports, so that a launch waits for one that has just been started.
_FORK_TIMEOUT_S = 60.0
# Words of an engine's command before its arguments: ``python -m worker.engine_server``.
_PROGRAM_WORDS = 3


async def start_forked(argv: Sequence[str], env: Mapping[str, str], log: Path) -> EngineProcess:
    """Have the fork server fork the engine. Starts it plainly, and logs why, if that is refused."""
    server = socket_path()
    try:
        if server is None or not server.exists():
            raise ForkRefused("there is none on this node")
        return await ForkedProcess.start(server, argv[_PROGRAM_WORDS:], env, log, _FORK_TIMEOUT_S)
    except ForkRefused as reason:
        sentence = f"Starting without the fork server: {reason}."
        _log.warning("%s", sentence)
        _append(log, sentence)
        return await start_plain(argv, env, log)


async def start_plain(argv: Sequence[str], env: Mapping[str, str], log: Path) -> EngineProcess:
    """Start the engine as a child process, which imports everything by itself."""
    return await ProcessGroup.start(argv, env, log)


def _append(log: Path, sentence: str) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(f"xinfer: {sentence}\n")
