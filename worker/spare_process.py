"""The processes that Ray has idle on a node for its next replicas, so that they need not be started then."""

from __future__ import annotations

import logging
from typing import Any

import ray

from xinfer.names import NAMESPACE, REGISTRY

_log = logging.getLogger("xinfer.worker")


async def prestart_next() -> None:
    """Have a Ray process prestarted on this node soon: the actor that calls this has taken an idle one."""
    node_id = ray.get_runtime_context().get_node_id()
    try:
        registry: Any = ray.get_actor(REGISTRY, namespace=NAMESPACE)
        await registry.call.remote("prestart_workers", node_id)
    except (ValueError, ray.exceptions.RayError) as error:
        # The next replica waits about a second longer; no reason to fail this one.
        _log.warning("no Ray process was prestarted: %s", type(error).__name__)
