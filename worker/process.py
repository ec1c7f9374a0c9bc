"""A child process with everything it starts: begun together, ended together, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from xinfer.process_lifetime import PARENT_VARIABLE

_POLL_PERIOD_S = 0.05
# How long the kernel may take to free the memory of what it has killed.
_KILL_S = 10.0


class ReservedPort:
    """A TCP port that stays ours until ``close``: bound but not listening, so that a child can
    listen on it.

    Linux lets two sockets with ``SO_REUSEADDR`` bind one port while at most one listens, and
    never hands out such a port as a free one; every server of note sets that option.
    """

    def __init__(self, host: str) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


class EngineProcess(ABC):
    """A process and its descendants, in a process group of their own; ``pid`` is the group's
    id, too.
    """

    @property
    @abstractmethod
    def pid(self) -> int:
        """Process id of the first of them."""

    @property
    @abstractmethod
    def exit_code(self) -> int | None:
        """Exit code of the first of them; None while it runs."""

    @abstractmethod
    async def wait(self) -> int:
        """Wait for its end; its descendants may outlive it until ``stop``."""

    @abstractmethod
    def _terminate(self) -> None:
        """Send SIGTERM to the first of them only."""

    async def stop(self, grace_s: float) -> None:
        """End the whole group. The process gets SIGTERM and ``grace_s`` seconds to end what
        it started, then all get SIGKILL.

        Descendants get no SIGTERM of their own: those that die before it leave shared
        memory behind. Safe to call twice.
        """
        if self.exit_code is None:
            self._terminate()
        if not await self._is_gone_within(grace_s):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            await self._is_gone_within(_KILL_S)

    async def _is_gone_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()
                while any(_is_alive_in(self.pid, process) for process in psutil.process_iter()):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_PERIOD_S)
                return True
        return False


class ProcessGroup(EngineProcess):
    """A child of this process; output goes to a log file."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, argv: Sequence[str], env: Mapping[str, str], log: Path) -> ProcessGroup:
        """Start ``argv`` with exactly ``env``.

        The child is told its parent, see ``die_with_parent``.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env={**env, PARENT_VARIABLE: str(os.getpid())},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    async def wait(self) -> int:
        return await self._process.wait()

    def _terminate(self) -> None:
        self._process.terminate()


def _is_alive_in(group: int, process: psutil.Process) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False
