"""Where a supervisor of one node of several listens."""

from __future__ import annotations

from typing import Any

import ray
from ray.serve._private import replica

_own: list[str] = []


def own_address() -> str | None:
    """The address to which this process was bound; None if it is Serve's choice."""
    return _own[0] if _own else None


def listen_at_own_address() -> None:
    """Have Serve bind this replica's server to the address of its node.

    Serve binds all replicas to the address of the front end, which is the head's: on another node there is no such address. It
    has no option for it, and calls this function of its own after the replica's constructor.
    """
    module: Any = replica
    start = module.start_asgi_http_server
    address: str = ray.util.get_node_ip_address()
    _own[:] = [address]

    async def start_here(app: Any, options: Any, **more: Any) -> Any:
        return await start(app, options.model_copy(update={"host": address}), **more)

    module.start_asgi_http_server = start_here
