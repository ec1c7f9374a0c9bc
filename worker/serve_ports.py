"""What Serve opens in a model's replica, whose requests come to the engine's own server."""

from __future__ import annotations

from typing import Any

from ray._common.tls_utils import add_port_to_grpc_server
from ray.serve._private import replica

_EVERYWHERE = "[::]"
_LOOPBACK = "127.0.0.1"


def keep_ports_closed() -> None:
    """Have Serve open no port for requests in this process's replica, and the one for calls of other replicas on loopback.

    The first it would bind to the address of the front end, the head's, which other nodes do not have: no replica came up there.
    The second would be open on every interface, and nobody uses it. Serve has no option for either, and looks at both after the
    replica's constructor.
    """
    module: Any = replica
    module.RAY_SERVE_ENABLE_DIRECT_INGRESS = False
    module.add_port_to_grpc_server = _add_on_loopback


def _add_on_loopback(server: object, address: str) -> int:
    port: int = add_port_to_grpc_server(server, address.replace(_EVERYWHERE, _LOOPBACK))
    return port
