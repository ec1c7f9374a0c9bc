"""The fork server's process: ``python -m worker.fork_server.process``.

It ends with the process that started it.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable

from worker.command import engine_env
from worker.engine_server import import_engine, run, show_as
from worker.fork_server import compilers
from worker.fork_server.child import detach
from worker.fork_server.fork_safety import ImportSnapshot, snapshot_imports, unfit_to_fork
from worker.fork_server.server import ForkServer, Unfit
from worker.vllm_build import is_cpu_build
from xinfer.cluster.fork_server import MODULE, ForkServerStage, ForkServerState, socket_path
from xinfer.cluster.node_process import BROKEN
from xinfer.messages import ModelSpec
from xinfer.process_lifetime import die_with_parent
from xinfer.settings import EngineSettings, home

_log = logging.getLogger("xinfer.fork_server")
_BACKLOG = 64
_HAS_ENGINE_ENV = "XINFER_WARM_HOST"
"""Set once the process has replaced its environment by an engine's."""
_ROOM = " " * 4096
"""An unused argument. Linux shows a process's title in the space of its arguments, and the titles
of engines need more of it."""


def main() -> None:
    """Import vLLM and serve fork requests. In a forked child, run the engine's server instead."""
    if _HAS_ENGINE_ENV not in os.environ:
        _restart_with_engine_env()

    die_with_parent()
    show_as([MODULE])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")

    # Listen before the imports: a launch that arrives meanwhile waits in the backlog.
    listener = _listen()
    ForkServerState(os.getpid(), ForkServerStage.STARTING).save(home())
    snapshot = _import_engine()
    ForkServerState(os.getpid(), ForkServerStage.READY).save(home())
    _log.info("ready to fork engines")

    try:
        child = ForkServer(listener, snapshot, when_idle=_idle_work()).run()
    except Unfit as reason:
        _log.error("not fit to fork any more: %s", reason)
        sys.exit(1)

    detach(child, snapshot)
    run(child.request.arguments)


def _restart_with_engine_env() -> None:
    """Execute this module again, with the environment that an ordinary launch gives its engine.

    The dynamic loader and the imports read much of it once and for all, so to set the variables in
    this process would be too late.
    """
    if is_cpu_build():
        gpus = 0
    else:
        gpus = 1
    spec = ModelSpec("", "", "", gpus=gpus)
    env = engine_env(spec, EngineSettings.from_environment())
    argv = [sys.executable, "-m", MODULE, _ROOM]
    os.execve(sys.executable, argv, {**env, _HAS_ENGINE_ENV: "1"})


def _listen() -> socket.socket:
    path = socket_path()
    if path is None:
        sys.exit("The fork server belongs to a cluster; `xinfer start` starts it.")

    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The folder is closed to other users, so the socket needs no permissions of its own.
    listener.bind(str(path))
    listener.listen(_BACKLOG)
    return listener


def _import_engine() -> ImportSnapshot:
    """Import vLLM. Exits with ``BROKEN``, so that nobody tries again, if it cannot be forked."""
    try:
        snapshot = snapshot_imports(import_engine)
        reason = unlike_gpus() or unfit_to_fork()
    except Exception as error:  # noqa: BLE001  # whatever the engine's packages raise on this machine
        reason = f"the engine cannot be imported: {type(error).__name__}: {error}"

    if reason:
        ForkServerState(os.getpid(), ForkServerStage.FAILED, reason).save(home())
        _log.error("%s", reason)
        sys.exit(BROKEN)
    return snapshot


def _idle_work() -> Callable[[], None] | None:
    """Finds out what engines would otherwise find out one by one, where they load compiled models; None if it is known."""
    never = EngineSettings.from_environment().cpu_compilation == "never"
    if never or not is_cpu_build() or compilers.recall():
        return None
    return compilers.learn


def unlike_gpus() -> str | None:
    """Why one process cannot import vLLM for all GPUs of this node; None if they are alike.

    vLLM asks the first GPU for its compute capability, and its imports keep what follows from it.
    """
    from vllm.platforms import current_platform

    if not current_platform.is_cuda():
        return None

    versions: set[str] = set()
    for number in range(current_platform.device_count()):
        capability = current_platform.get_device_capability(number)
        # None where the driver does not know.
        if capability:
            versions.add(capability.as_version_str())

    if len(versions) > 1:
        capabilities = ", ".join(sorted(versions))
        return f"the GPUs of this node differ (compute capability {capabilities})"
    return None


if __name__ == "__main__":
    main()
