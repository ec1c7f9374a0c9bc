"""Ray's own command, with what xinfer changes of what starts and listens.

Workers are forked (``supervisor.nodes.ray_workers``). Ray's agent, and its dashboard, offer metrics to everybody on every
interface, without the token. They have no option for the address. Without a dashboard Ray starts its API server all the same, and
waits for it before it starts anything else; and it starts a server for ``ray://`` addresses. Nothing here asks either.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray._private import ray_constants, services
from ray._private.node import Node
from ray._private.state import GlobalState

from supervisor.nodes.ray_addresses import keep_loopback
from supervisor.nodes.ray_workers import stub

RUNNER = "supervisor.nodes.ray_metrics"
_WITH_METRICS = (ray_constants.PROCESS_TYPE_DASHBOARD_AGENT, ray_constants.PROCESS_TYPE_DASHBOARD)
_BUILDER = "_build_python_executable_command_memory_profileable"
_API_SERVER = "start_api_server"
_WHY_NO_CLIENT = "get_ray_client_dependency_error"
_RAYLET = "start_raylet"
_WORKER_FLAGS = "_site_flags"
_GET_NODE = "get_node"
_OTHER_COMMANDS = ("ray.util.state.state_cli", "ray.dashboard.modules.job.cli", "ray.serve.scripts")
"""Ray's command line imports them, if it can, for other commands than ``ray start``. They take longer than all the rest of it."""
_REGISTERS_S = 30.0
_LOOK_PERIOD_S = 0.02

Builder = Callable[..., list[str]]


def with_own_runner(build: Builder) -> Builder:
    """What begins the command lines of Ray's Python processes, so that scripts with metrics are run by ``RUNNER``."""

    def command(component: str, *args: Any, **kwargs: Any) -> list[str]:
        words = build(component, *args, **kwargs)
        if component in _WITH_METRICS:
            return [*words, "-m", RUNNER]
        return words

    return command


def with_dashboard_only(start: Callable[..., None]) -> Callable[..., None]:
    """``start``, a method of Ray's node, which does nothing unless there is to be a dashboard."""

    def start_api_server(node: Node, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
        if include_dashboard:
            start(node, include_dashboard=include_dashboard, raise_on_failure=raise_on_failure)

    return start_api_server


def _why_no_client() -> str:
    """In the place of Ray's own function, which says what the server for ``ray://`` lacks."""
    return "xinfer has no use for it"


def with_workers_forked(start: Callable[..., None], fork_server: Path) -> Callable[..., None]:
    """``start``, a method of Ray's node, which has the raylet run the stub in the place of its worker's script."""

    def start_raylet(node: Node, *args: Any, **kwargs: Any) -> None:
        parameters = node._ray_params  # there is no option for it
        assert parameters.worker_path
        os.environ[stub.SCRIPT] = parameters.worker_path
        os.environ[stub.SOCKET] = str(fork_server)
        parameters.worker_path = stub.__file__
        start(node, *args, **kwargs)

    return start_raylet


def with_frequent_looks(get: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    """``get``, which gets a node from the GCS that has begun to register, and looks for it once a second."""

    def get_node(gcs_address: str, node_id: str) -> Any:
        state = GlobalState()
        state._initialize_global_state(services._get_gcs_client_options(gcs_address))
        deadline = time.monotonic() + _REGISTERS_S
        while not any(node["NodeID"] == node_id for node in state.node_table()) and time.monotonic() < deadline:
            time.sleep(_LOOK_PERIOD_S)
        return get(gcs_address, node_id)

    return get_node


@contextmanager
def without(modules: Iterable[str]) -> Iterator[None]:
    """Let imports of ``modules`` fail meanwhile."""
    for name in modules:
        # The import system's own way to say so.
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def run(fork_server: Path) -> None:
    """Run Ray's command with this process's arguments; ``fork_server`` is the socket of the one that forks workers."""
    with without(_OTHER_COMMANDS):
        from ray.scripts import scripts

    keep_loopback()
    setattr(services, _GET_NODE, with_frequent_looks(getattr(services, _GET_NODE)))
    setattr(services, _BUILDER, with_own_runner(getattr(services, _BUILDER)))
    setattr(Node, _API_SERVER, with_dashboard_only(getattr(Node, _API_SERVER)))
    setattr(scripts, _WHY_NO_CLIENT, _why_no_client)
    setattr(Node, _RAYLET, with_workers_forked(getattr(Node, _RAYLET), fork_server))
    # The stub needs no packages and must not look for them.
    setattr(services, _WORKER_FLAGS, lambda: ["-I", "-S"])
    scripts.main()
