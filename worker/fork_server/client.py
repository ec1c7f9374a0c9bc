"""The worker's side of the warm host: ask for an engine, and look after it although it is the host's child."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.death_pipe import Lifeline
from worker.fork_server.request import Closed, ForkRequest, receive, send
from worker.process import EngineProcess

UNKNOWN_EXIT = 255
"""Stands for the exit code of an engine whose host died before it could say it."""
_CODE_S = 1.0


class HostRefused(Exception):
    """The host is not there, or does not fork this engine; the message says why."""


class ForkedProcess(EngineProcess):
    """An engine server that the warm host has forked. It ends when this process does, or when ``stop`` is called."""

    def __init__(self, pid: int, handle: int, connection: socket.socket, lifeline: Lifeline) -> None:
        self._pid = pid
        self._handle = handle
        self._connection = connection
        self._lifeline = lifeline
        self._code: int | None = None
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, self._note_end)

    @classmethod
    async def start(
        cls, host: Path, arguments: Sequence[str], env: Mapping[str, str], log: Path, patience_s: float
    ) -> ForkedProcess:
        """Have an engine forked; ``HostRefused`` if that cannot be, also if the host does not answer within ``patience_s``."""
        request = ForkRequest(list(arguments), dict(env), str(Path.cwd()))
        lifeline = Lifeline()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(patience_s)
        try:
            answer, handles = await _ask_in_thread(connection, host, request, log, lifeline)
            if "pid" not in answer:
                raise HostRefused(answer.get("refused", "the warm host gave no reason"))
        except BaseException as error:
            # An engine that is forked for us after all ends at once.
            lifeline.cut()
            connection.close()
            if isinstance(error, (OSError, Closed, ValueError)):
                raise HostRefused(f"the warm host does not answer ({type(error).__name__})") from error
            raise
        lifeline.handed_over()
        return cls(answer["pid"], handles[0], connection, lifeline)

    @property
    def pid(self) -> int:
        """Process id of the server; also the id of its group."""
        return self._pid

    @property
    def exit_code(self) -> int | None:
        return self._code

    async def wait(self) -> int:
        await self._ended.wait()
        assert self._code is not None
        return self._code

    async def stop(self, grace_s: float) -> None:
        """As any engine's process; then let go of the host."""
        await super().stop(grace_s)
        self._lifeline.cut()

    def _terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGTERM)

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        self._connection.settimeout(_CODE_S)
        try:
            self._code = int(receive(self._connection)[0]["exit"])
        except (OSError, Closed, ValueError, KeyError):
            self._code = UNKNOWN_EXIT
        self._connection.close()
        self._ended.set()


def _ask(
    connection: socket.socket, host: Path, request: ForkRequest, log: Path, lifeline: Lifeline
) -> tuple[dict[str, Any], list[int]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        connection.connect(str(host))
        send(connection, request.dump(), (output.fileno(), lifeline.reading_end))
        return receive(connection, descriptors=1)


async def _ask_in_thread(connection: socket.socket, *args: Any) -> tuple[dict[str, Any], list[int]]:
    """Ask without blocking the event loop; if nobody waits any more, the connection is cut so that the thread ends, too."""
    try:
        return await asyncio.to_thread(_ask, connection, *args)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        raise
