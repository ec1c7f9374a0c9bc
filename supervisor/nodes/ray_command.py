"""``python -m supervisor.nodes.ray_command start ...``: Ray's own command, with what xinfer changes of where a node listens.

Ray's agent, and its dashboard, which runs without its pages too, offer metrics to everybody on every interface, without
the token. They have no option for the address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray._private import ray_constants, services
from ray.scripts.scripts import main

from supervisor.nodes.ray_addresses import keep_loopback

RUNNER = "supervisor.nodes.ray_metrics"
_WITH_METRICS = (ray_constants.PROCESS_TYPE_DASHBOARD_AGENT, ray_constants.PROCESS_TYPE_DASHBOARD)
_BUILDER = "_build_python_executable_command_memory_profileable"

Builder = Callable[..., list[str]]


def with_own_runner(build: Builder) -> Builder:
    """What begins the command lines of Ray's Python processes, so that scripts with metrics are run by ``RUNNER``."""

    def command(component: str, *args: Any, **kwargs: Any) -> list[str]:
        words = build(component, *args, **kwargs)
        if component in _WITH_METRICS:
            return [*words, "-m", RUNNER]
        return words

    return command


if __name__ == "__main__":
    keep_loopback()
    setattr(services, _BUILDER, with_own_runner(getattr(services, _BUILDER)))
    main()
