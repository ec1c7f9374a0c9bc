"""The fork server's loop: forks engine servers, and reports to each worker how its engine ended.

It has one thread, since a process with more cannot be forked safely.
"""

from __future__ import annotations

import gc
import logging
import os
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass

from worker.fork_server.fork_safety import ImportSnapshot, unfit_to_fork
from worker.fork_server.request import Closed, ForkRequest, receive, send

_log = logging.getLogger("xinfer.fork_server")
# How long a worker may take to send its request; the loop serves nobody else meanwhile.
_READ_TIMEOUT_S = 5.0
_DESCRIPTORS = 2
_IDLE_S = 2.0


@dataclass(frozen=True, slots=True)
class Child:
    """In the forked process: what it was forked for."""

    request: ForkRequest
    log: int
    """File descriptor of the engine's log."""
    death_pipe: int
    """File descriptor of the read end of the worker's death pipe."""


class Unfit(Exception):
    """This process must not be forked any more."""


class ForkServer:
    """Serves fork requests on one listening socket until it is ended or unfit."""

    def __init__(
        self,
        listener: socket.socket,
        snapshot: ImportSnapshot,
        unfit: Callable[[], str | None] = unfit_to_fork,
        when_idle: Callable[[], None] | None = None,
    ) -> None:
        """``when_idle`` is called once, when no request has come for some seconds; it must leave no thread."""
        self._listener = listener
        self._snapshot = snapshot
        self._unfit = unfit
        self._when_idle = when_idle
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._engines: dict[int, tuple[int, socket.socket]] = {}
        """By pidfd of an engine: its process id, and the connection of its worker."""

    def run(self) -> Child:
        """Serve requests.

        Returns only in a forked child; raises ``Unfit`` when forking must end.
        """
        _freeze()

        while True:
            events = self._selector.select(_IDLE_S if self._when_idle else None)
            if not events:
                self._use_idle_time()
            for key, _ in events:
                if key.fileobj is not self._listener:
                    self._reap(key.fd)
                    continue
                child = self._accept()
                if child:
                    return child

    def _use_idle_time(self) -> None:
        assert self._when_idle is not None
        try:
            self._when_idle()
        except Exception as error:  # noqa: BLE001  # engines find it out by themselves then, or fail with it
            _log.warning("idle time was not of use: %s: %s", type(error).__name__, error)
        self._when_idle = None
        _freeze()

    def _accept(self) -> Child | None:
        connection, _ = self._listener.accept()
        connection.settimeout(_READ_TIMEOUT_S)
        try:
            message, files = receive(connection, _DESCRIPTORS)
            request = ForkRequest(**message)
        except (Closed, OSError, ValueError, TypeError) as error:
            _log.warning("a request could not be read: %s", type(error).__name__)
            connection.close()
            return None

        child = self._fork(connection, Child(request, *files))
        if child is None:
            # The descriptors are the engine's. An open read end would not hurt, but they add up.
            for file in files:
                os.close(file)
        return child

    def _fork(self, connection: socket.socket, child: Child) -> Child | None:
        """Fork an engine. Returns ``child`` in the forked process and None in this one."""
        reason = self._unfit()
        if reason:
            _respond(connection, {"refused": reason})
            raise Unfit(reason)

        reason = self._snapshot.objection(child.request.env)
        if reason:
            _respond(connection, {"refused": reason})
            connection.close()
            return None

        pid = os.fork()
        if pid == 0:
            self._close_inherited(connection)
            return child

        pidfd = os.pidfd_open(pid)
        self._engines[pidfd] = pid, connection
        self._selector.register(pidfd, selectors.EVENT_READ)
        _respond(connection, {"pid": pid}, (pidfd,))
        return None

    def _reap(self, pidfd: int) -> None:
        """Wait for an engine server that has ended, and report its exit code to its worker."""
        self._selector.unregister(pidfd)
        os.close(pidfd)
        pid, connection = self._engines.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        _respond(connection, {"exit": os.waitstatus_to_exitcode(status)})
        connection.close()

    def _close_inherited(self, connection: socket.socket) -> None:
        """In the child: close the descriptors that belong to the fork server."""
        connection.close()
        for pidfd, (_, other) in self._engines.items():
            os.close(pidfd)
            other.close()
        self._listener.close()
        self._selector.close()


def _freeze() -> None:
    """A collection in a child would write to every object, and so copy every page it shares."""
    gc.collect()
    gc.freeze()


def _respond(connection: socket.socket, message: dict[str, object], descriptors: tuple[int, ...] = ()) -> None:
    try:
        send(connection, message, descriptors)
    except OSError:
        _log.info("the worker has gone before it was sent %s", message)
