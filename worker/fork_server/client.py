"""The worker's side of the fork server: requests an engine, and watches over it.

The engine is a child of the fork server, so the worker cannot wait for it as for its own child: it
holds a pidfd of it, and the fork server reports the exit code.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.death_pipe import DeathPipe
from worker.fork_server.request import Closed, ForkRequest, receive, send
from worker.process import EngineProcess

UNKNOWN_EXIT = 255
"""Exit code of an engine whose fork server died before it could report the real one."""
# How long the fork server may take to report the exit code of an engine that has ended.
_EXIT_CODE_TIMEOUT_S = 1.0


class ForkRefused(Exception):
    """The fork server is not there, or does not fork this engine; the message says why."""


class ForkedProcess(EngineProcess):
    """An engine server that was forked by the fork server.

    It ends when this process does, or when ``stop`` is called.
    """

    def __init__(self, pid: int, pidfd: int, connection: socket.socket, death_pipe: DeathPipe) -> None:
        self._pid = pid
        self._pidfd = pidfd
        self._connection = connection
        self._death_pipe = death_pipe
        self._exit_code: int | None = None
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(pidfd, self._note_end)

    @classmethod
    async def start(
        cls,
        server: Path,
        arguments: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        timeout_s: float,
    ) -> ForkedProcess:
        """Have an engine forked by the fork server that listens on the socket ``server``.

        Raises ``ForkRefused`` if it refuses, or does not respond within ``timeout_s``.
        """
        request = ForkRequest(list(arguments), dict(env), str(Path.cwd()))
        death_pipe = DeathPipe()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout_s)
        try:
            response, pidfds = await _request_in_thread(connection, server, request, log, death_pipe)
            if "pid" not in response:
                raise ForkRefused(response.get("refused", "the fork server gave no reason"))
        except BaseException as error:
            # An engine that is forked for this request after all is killed at once.
            death_pipe.kill()
            connection.close()
            if isinstance(error, (OSError, Closed, ValueError)):
                reason = f"the fork server does not answer ({type(error).__name__})"
                raise ForkRefused(reason) from error
            raise

        death_pipe.close_read_end()
        return cls(response["pid"], pidfds[0], connection, death_pipe)

    @property
    def pid(self) -> int:
        """Process id of the server; also the id of its group."""
        return self._pid

    @property
    def exit_code(self) -> int | None:
        return self._exit_code

    async def wait(self) -> int:
        await self._ended.wait()
        assert self._exit_code is not None
        return self._exit_code

    async def stop(self, grace_s: float) -> None:
        """End the group as for any engine's process, then close the death pipe."""
        await super().stop(grace_s)
        self._death_pipe.kill()

    def _terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)

    def _note_end(self) -> None:
        """Called when the pidfd becomes readable, which is when the process has ended."""
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)

        self._connection.settimeout(_EXIT_CODE_TIMEOUT_S)
        try:
            message, _ = receive(self._connection)
            self._exit_code = int(message["exit"])
        except (OSError, Closed, ValueError, KeyError):
            self._exit_code = UNKNOWN_EXIT

        self._connection.close()
        self._ended.set()


def _request(
    connection: socket.socket, server: Path, request: ForkRequest, log: Path, death_pipe: DeathPipe
) -> tuple[dict[str, Any], list[int]]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        connection.connect(str(server))
        send(connection, request.dump(), (output.fileno(), death_pipe.read_end))
        return receive(connection, descriptors=1)


async def _request_in_thread(connection: socket.socket, *args: Any) -> tuple[dict[str, Any], list[int]]:
    """Send the request without blocking the event loop."""
    try:
        return await asyncio.to_thread(_request, connection, *args)
    except asyncio.CancelledError:
        # The thread cannot be cancelled. It ends when its connection does.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        raise
