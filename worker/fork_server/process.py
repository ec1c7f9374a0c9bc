"""The host's process: ``python -m worker.fork_server.process``. Ends with the process that started it."""

from __future__ import annotations

import logging
import os
import socket
import sys

from worker.command import engine_env
from worker.engine_server import import_engine, run, show_as
from worker.fork_server.child import settle
from worker.fork_server.fork_safety import Warmth, unfit_to_fork, warm_up
from worker.fork_server.gpus import unlike_gpus
from worker.fork_server.server import Child, Loop, Unfit
from worker.vllm_build import is_cpu_build
from xinfer.cluster.fork_server import MODULE, ForkServerStage, ForkServerState, socket_path
from xinfer.cluster.node_process import BROKEN
from xinfer.messages import ModelSpec
from xinfer.process_lifetime import die_with_parent
from xinfer.settings import EngineSettings, home

_log = logging.getLogger("xinfer.host")
_BACKLOG = 64
_SETTLED = "XINFER_WARM_HOST"
_ROOM = " " * 4096
"""An argument that nobody reads: a process shows its name in the space of its arguments, and engines have longer ones."""


def main() -> None:
    """Become warm and serve. In a forked child, run the engine's server instead."""
    if _SETTLED not in os.environ:
        _begin_again_as_an_engine_would()
    die_with_parent()
    show_as([MODULE])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    listener = _listen()
    ForkServerState(os.getpid(), ForkServerStage.STARTING).save(home())
    warmth = _warm_up()
    ForkServerState(os.getpid(), ForkServerStage.READY).save(home())
    _log.info("ready to fork engines")
    try:
        child = Loop(listener, warmth).run()
    except Unfit as reason:
        _log.error("not fit to fork any more: %s", reason)
        sys.exit(1)
    _serve(child, warmth)


def _begin_again_as_an_engine_would() -> None:
    """With the environment of an ordinary launch: much of it is read by the loader and the imports, once and for all."""
    spec = ModelSpec("", "", "", gpus=0 if is_cpu_build() else 1)
    env = engine_env(spec, EngineSettings.from_environment())
    argv = [sys.executable, "-m", MODULE, _ROOM]
    os.execve(sys.executable, argv, {**env, _SETTLED: "1"})


def _listen() -> socket.socket:
    """Listen before anything else: a launch that comes during the imports waits in line."""
    path = socket_path()
    if path is None:
        sys.exit("The warm host belongs to a cluster; `xinfer start` starts it.")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # In a folder that nobody else may enter.
    listener.bind(str(path))
    listener.listen(_BACKLOG)
    return listener


def _warm_up() -> Warmth:
    try:
        warmth = warm_up(import_engine)
        reason = unlike_gpus() or unfit_to_fork()
    except Exception as error:  # noqa: BLE001  # whatever the engine's packages raise on this machine
        reason = f"the engine cannot be imported: {type(error).__name__}: {error}"
    if reason:
        ForkServerState(os.getpid(), ForkServerStage.FAILED, reason).save(home())
        _log.error("%s", reason)
        sys.exit(BROKEN)
    return warmth


def _serve(child: Child, warmth: Warmth) -> None:
    settle(child, warmth)
    run(child.request.arguments)


if __name__ == "__main__":
    main()
