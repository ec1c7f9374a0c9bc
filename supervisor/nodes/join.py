"""Whether a node that has just joined fits the cluster: ``python -m supervisor.nodes.join RAY_ADDRESS`` prints why it does not.

Ray itself compares the versions of Ray and Python. xinfer compares what makes replicas behave differently on that node.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import ray

from supervisor.nodes.ray_addresses import keep_loopback
from xinfer import __version__
from xinfer.cluster import tls
from xinfer.cluster.node_ingress import ON_EACH_NODE
from xinfer.names import NAMESPACE, REGISTRY
from xinfer.vllm_version import vllm_version

_TIMEOUT_S = 20.0
_CLOCK_S = 5.0
"""Reports of replicas carry their node's time; one that seems older than some 20 s is not believed."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What is installed on a node, and what time it is there."""

    xinfer: str
    vllm: str | None
    time: float
    """Unix time in seconds."""
    tls: bool = False
    """Whether this node was started with a certificate."""
    ingress: bool = False
    """Whether every node of its cluster answers requests, as only a head knows."""


def installed() -> Installed:
    """This node's."""
    return Installed(
        __version__, vllm_version(), time.time(), bool(os.environ.get(tls.PEM)), bool(os.environ.get(ON_EACH_NODE))
    )


def misfit(here: Installed, head: Installed) -> str:
    """Why a node cannot serve in the cluster of that head, in a sentence; empty if it can."""
    if here.xinfer != head.xinfer:
        return f"xinfer is {here.xinfer} here and {head.xinfer} on the head; install the same version on all nodes."
    if here.vllm != head.vllm:
        return (
            f"vLLM is {here.vllm or 'not installed'} here and {head.vllm or 'not installed'} on the head; install the same "
            "version on all nodes."
        )
    if head.ingress and head.tls and not here.tls:
        return (
            "The API of this cluster speaks TLS, and each node answers requests: give --tls-cert, and --tls-key if need be, with "
            "a certificate for this node's name."
        )
    ahead_s = here.time - head.time
    if abs(ahead_s) > _CLOCK_S:
        return (
            f"This machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the head's; "
            "synchronise both, for example with chrony."
        )
    return ""


@cache
def main() -> None:
    keep_loopback()
    ray.init(address=sys.argv[1], namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    registry: Any = ray.get_actor(REGISTRY)
    head: Installed = ray.get(registry.call.remote("installed"), timeout=_TIMEOUT_S)
    sys.stdout.write(misfit(installed(), head))
    sys.stdout.flush()
    # Ray's own way out takes half a second.
    os._exit(0)


if __name__ == "__main__":
    main()
