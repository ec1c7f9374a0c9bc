"""The host's loop: takes requests, forks, tells each worker how its engine ended. One thread, and nothing that needs more."""

from __future__ import annotations

import gc
import logging
import os
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass

from worker.fork_server.fork_safety import Warmth, unfit_to_fork
from worker.fork_server.request import Closed, ForkRequest, receive, send

_log = logging.getLogger("xinfer.host")
_READ_S = 5.0
_DESCRIPTORS = 2


@dataclass(frozen=True, slots=True)
class Child:
    """In the forked process: what it is to become."""

    request: ForkRequest
    log: int
    lifeline: int


class Unfit(Exception):
    """This process must not be forked any more."""


class Loop:
    """Serves one listening socket until it is ended or unfit."""

    def __init__(
        self, listener: socket.socket, warmth: Warmth, unfit: Callable[[], str | None] = unfit_to_fork
    ) -> None:
        self._listener = listener
        self._warmth = warmth
        self._unfit = unfit
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._workers: dict[int, tuple[int, socket.socket]] = {}
        """By descriptor of the engine's process: its id, and the connection of the worker that asked for it."""

    def run(self) -> Child:
        """Serve. Returns in a forked child only; ``Unfit`` when there can be no more of those."""
        gc.collect()
        # So that a collection in a child does not write to, and thereby copy, every page it shares.
        gc.freeze()
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._listener:
                    self._ended(key.fd)
                elif child := self._accept():
                    return child

    def _accept(self) -> Child | None:
        connection, _ = self._listener.accept()
        connection.settimeout(_READ_S)
        try:
            message, files = receive(connection, _DESCRIPTORS)
            request = ForkRequest(**message)
        except (Closed, OSError, ValueError, TypeError) as error:
            _log.warning("a request could not be read: %s", type(error).__name__)
            connection.close()
            return None
        child = self._fork(connection, Child(request, *files))
        if child is None:
            for file in files:
                os.close(file)
        return child

    def _fork(self, connection: socket.socket, child: Child) -> Child | None:
        reason = self._unfit()
        if reason:
            _answer(connection, {"refused": reason})
            raise Unfit(reason)
        reason = self._warmth.objection(child.request.env)
        if reason:
            _answer(connection, {"refused": reason})
            connection.close()
            return None
        pid = os.fork()
        if pid == 0:
            self._let_go(connection)
            return child
        process = os.pidfd_open(pid)
        self._workers[process] = pid, connection
        self._selector.register(process, selectors.EVENT_READ)
        _answer(connection, {"pid": pid}, (process,))
        return None

    def _ended(self, process: int) -> None:
        """One engine server has ended: collect it and say how."""
        self._selector.unregister(process)
        os.close(process)
        pid, connection = self._workers.pop(process)
        _, status = os.waitpid(pid, 0)
        _answer(connection, {"exit": os.waitstatus_to_exitcode(status)})
        connection.close()

    def _let_go(self, connection: socket.socket) -> None:
        """In the child: close what is the host's own."""
        connection.close()
        for process, (_, other) in self._workers.items():
            os.close(process)
            other.close()
        self._listener.close()
        self._selector.close()


def _answer(connection: socket.socket, message: dict[str, object], descriptors: tuple[int, ...] = ()) -> None:
    try:
        send(connection, message, descriptors)
    except OSError:
        _log.info("nobody waits for the answer %s any more", message)
