"""The process that Ray's workers of a node are forked from. It has one thread, since one with more cannot be forked safely.

If it is not there any more, workers start by themselves, a second later.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import ray.actor
from ray._raylet import ActorClassID, UniqueID, setproctitle  # type: ignore[attr-defined]  # compiled

from supervisor.nodes.ray_workers import stub

MODULES = (
    "ray.serve._private.controller",
    "ray.serve._private.proxy",
    "ray.serve._private.haproxy",
    "ray.serve._private.replica",
    # Ray imports it when it first reads an argument.
    "pydantic.v1",
    "supervisor.app",
    "supervisor.nodes.agent",
    "supervisor.registry.process",
    # Known by its name alone.
    "worker.replica",
)
"""What Ray's workers of a node need: the actors of Serve, and ours."""
_log = logging.getLogger("xinfer.ray_workers")
_BACKLOG = 256
# How long a stub may take to send its request; nobody else is served meanwhile.
_READ_TIMEOUT_S = 5.0
_CHUNK = 1 << 16
_TITLE = "python -m supervisor.nodes.ray_workers.fork_server"
_TITLE_OF_WORKERS = "python default_worker.py"


@dataclass(frozen=True, slots=True)
class Request:
    """Of a stub, for the worker that it stands for."""

    arguments: list[str]
    """Those of Ray's script."""
    env: dict[str, str]
    folder: str
    process_group: int
    """Ray kills what is left of it when the worker has ended."""
    oom_score_adj: int
    descriptors: tuple[int, ...]
    """Standard input, output and error."""


class ForkServer:
    """Serves the requests that come to one listening socket."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def run(self) -> Request:
        """Serve requests; returns only in a forked child, with the one that it is for.

        ``RuntimeError`` if this process must not be forked.
        """
        # Nobody asks how a worker has ended: Ray sees its connection close.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            request = self.serve_one()
            if request:
                self._listener.close()
                return request

    def serve_one(self) -> Request | None:
        """Wait for a request: the request in a child that was forked for it, None in this process."""
        connection, _ = self._listener.accept()
        with connection:
            threads = _threads()
            if threads > 1:
                raise RuntimeError(f"a process with {threads} threads cannot be forked")
            connection.settimeout(_READ_TIMEOUT_S)
            descriptors: list[int] = []
            try:
                request = _receive(connection, descriptors)
                # One that has waited too long has started its worker itself.
                if not _has_gone(connection):
                    pid = os.fork()
                    if pid == 0:
                        return request
                    # While the stub is there, which may be the only one in it.
                    with contextlib.suppress(OSError):
                        os.setpgid(pid, request.process_group)
                    connection.sendall(stub.FORKED)
            except (OSError, ValueError, TypeError) as error:
                _log.warning("a worker could not be forked: %s: %s", type(error).__name__, error)
            for descriptor in descriptors:
                os.close(descriptor)
        return None


def run(path: Path, modules: Iterable[str] = MODULES) -> None:
    """Import ``modules`` and fork workers, each of which runs Ray's script.

    Raises ``RuntimeError`` if this process must not be forked, and whatever the modules raise.
    """
    setproctitle(_TITLE)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        # Before the imports: a stub that comes meanwhile waits in the backlog. The folder is closed to other users.
        listener.bind(str(path))
        listener.listen(_BACKLOG)
        with _without_random_numbers():
            for name in modules:
                importlib.import_module(name)
        if _draw_the_same():
            raise RuntimeError("workers would give different things the same random names")
        # A collection in a child would write to every object, and so copy every page that it shares.
        gc.collect()
        gc.freeze()
        request = ForkServer(listener).run()
    _become(request)
    runpy.run_path(sys.argv[0], run_name="__main__")


@contextmanager
def _without_random_numbers() -> Iterator[None]:
    """Have Ray name its classes of actors by numbers of the system's meanwhile.

    Its own generator begins with the first number drawn, and children would all continue with the next ones.
    """

    def from_random() -> ActorClassID:
        return ActorClassID(os.urandom(ActorClassID.size()))

    setattr(ray.actor, "ActorClassID", SimpleNamespace(from_random=from_random))  # noqa: B010  # not a name that it exports
    try:
        yield
    finally:
        setattr(ray.actor, "ActorClassID", ActorClassID)  # noqa: B010


def _draw_the_same() -> bool:
    """Whether two children of this process would draw the same random name in Ray."""
    return _drawn_by_child() == _drawn_by_child()


def _drawn_by_child() -> bytes:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, UniqueID.from_random().binary())
        os._exit(0)
    os.close(writing)
    drawn = os.read(reading, UniqueID.size())
    os.close(reading)
    os.waitpid(pid, 0)
    return drawn


def _become(request: Request) -> None:
    """Have this process what one has that Ray has started for the request."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, descriptor in enumerate(request.descriptors):
        os.dup2(descriptor, number)
    for descriptor in request.descriptors:
        os.close(descriptor)
    # Anybody may raise it, which Ray does for its workers.
    with contextlib.suppress(PermissionError):
        Path("/proc/self/oom_score_adj").write_text(str(request.oom_score_adj))
    os.environ.clear()
    os.environ.update(request.env)
    os.chdir(request.folder)
    script = request.env[stub.SCRIPT]
    sys.argv = [script, *request.arguments]
    sys.path[0] = str(Path(script).parent)
    setproctitle(_TITLE_OF_WORKERS)


def _receive(connection: socket.socket, descriptors: list[int]) -> Request:
    """The request; the descriptors that come with it are added to ``descriptors`` even if it is none."""
    chunk, received, *_ = socket.recv_fds(connection, _CHUNK, 3)
    descriptors += received
    text = b""
    while chunk:
        text += chunk
        chunk = connection.recv(_CHUNK)
    return Request(**json.loads(text), descriptors=tuple(descriptors))


def _threads() -> int:
    """Of this process; the kernel also counts those that libraries have started."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def _has_gone(connection: socket.socket) -> bool:
    """Whether the other end is closed, and not only for writing."""
    poll = select.poll()
    poll.register(connection, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))
