"""The cluster's nodes, and work that has to be done on each of them: short Ray tasks that take no CPU of Ray's count."""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from xinfer.errors import BadRequest, Unavailable

Node = dict[str, Any]
_TIMEOUT_S = 30.0


def head_address() -> str:
    """Where the cluster began, and supervisors and registry are."""
    address: str = ray.get_runtime_context().gcs_address
    return address.rpartition(":")[0]


async def alive(address: str | None = None) -> list[Node]:
    """The nodes that are up, or the one of this address; ``BadRequest`` if there is none of it."""
    nodes = [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
    found = [node for node in nodes if address in (None, node["NodeManagerAddress"])]
    if address is not None and not found:
        raise BadRequest(f"No node has the address {address[:100]!r}. GET /v1/workers lists them.", param="worker_ip")
    return found


async def on_node(node: Node, task: Any, *args: Any) -> Any:
    """What the remote function ``task`` returns on this node; ``Unavailable`` if the node cannot be asked."""
    there = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
    doing = task.options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote(*args)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await doing
    except (TimeoutError, ray.exceptions.RayError) as error:
        ray.cancel(doing, force=True)
        raise Unavailable(f"The node {node['NodeManagerAddress']} cannot be asked now.", retry_after_s=5) from error


async def on_each(nodes: list[Node], task: Any, *args: Any) -> list[Any]:
    """The same on several, in their order."""
    return await asyncio.gather(*(on_node(node, task, *args) for node in nodes))
