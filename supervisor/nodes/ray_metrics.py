"""``python -m supervisor.nodes.ray_metrics SCRIPT ...``: a script of Ray's, whose metrics listen at the node's own address."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Sequence
from typing import Any

import prometheus_client
from ray._private import prometheus_exporter

_ADDRESS = "--node-ip-address="


def node_address(words: Sequence[str]) -> str:
    """The address of the node in the script's arguments; empty, which is every interface, if it is not there."""
    return next((word.removeprefix(_ADDRESS) for word in words if word.startswith(_ADDRESS)), "")


def listen_at(node: str) -> None:
    """Have the metrics of the agent, and of the dashboard, listen at ``node``, unless Ray itself names an address."""

    class Options(prometheus_exporter.Options):
        def __init__(self, namespace: str = "", port: int = 8000, address: str = "") -> None:
            super().__init__(namespace, port, address or node)

    start: Callable[..., Any] = prometheus_client.start_http_server

    def start_http_server(port: int, addr: str = node, **options: Any) -> Any:
        return start(port, addr, **options)

    setattr(prometheus_exporter, "Options", Options)  # noqa: B010  # it is no attribute to be assigned to, for mypy
    setattr(prometheus_client, "start_http_server", start_http_server)  # noqa: B010


if __name__ == "__main__":
    script, *words = sys.argv[1:]
    listen_at(node_address(words))
    sys.argv = [script, *words]
    runpy.run_path(script, run_name="__main__")
