"""Where Serve's replicas listen for each other."""

from __future__ import annotations

import ray
from ray._common.tls_utils import add_port_to_grpc_server
from ray.serve._private import replica

_EVERYWHERE = "[::]"


def listen_at_node() -> None:
    """Have the replica of this process, which is not up yet, take calls of others at its node's address only.

    It takes them on every interface otherwise. Nothing of xinfer calls a replica that way but Serve's own proxy.
    """
    setattr(replica, "add_port_to_grpc_server", _add_port)  # noqa: B010  # not exported, for mypy


def _add_port(server: object, address: str) -> int:
    node = ray.util.get_node_ip_address()
    if ":" in node:
        node = f"[{node}]"
    port: int = add_port_to_grpc_server(server, address.replace(_EVERYWHERE, node))
    return port
