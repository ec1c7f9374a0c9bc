"""The cluster's living nodes, and short Ray tasks that run on a given one of them.

The tasks take no CPU of Ray's count: they run also where all CPUs are given to replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from xinfer.engine_log import tail
from xinfer.errors import BadRequest, Unavailable
from xinfer.messages import ReplicaReport

Node = dict[str, Any]
MAX_LINES = 10_000
_MAX_LOG_BYTES = 1024 * 1024
_LOG_TIMEOUT_S = 20.0
_TIMEOUT_S = 30.0
_RETRY_AFTER_S = 5


def head_address() -> str:
    """The address of the node with the supervisors and the registry, without a port."""
    address: str = ray.get_runtime_context().gcs_address
    return address.rpartition(":")[0]


def living_nodes(nodes: Iterable[Node]) -> list[Node]:
    """Those of ``ray.nodes()`` that are up. Ray keeps the records of nodes that have left."""
    return [node for node in nodes if node["Alive"]]


async def alive(address: str | None = None) -> list[Node]:
    """The living nodes, or only those at ``address``; ``BadRequest`` if there is none."""
    # ray.nodes() blocks on the GCS.
    nodes = living_nodes(await asyncio.to_thread(ray.nodes))
    if address is None:
        return nodes

    found = [node for node in nodes if node["NodeManagerAddress"] == address]
    if not found:
        raise BadRequest(f"No node has the address {address[:100]!r}. GET /v1/workers lists them.", param="worker_ip")
    return found


async def on_node(node: Node, task: Any, *args: Any, timeout_s: float = _TIMEOUT_S) -> Any:
    """The result of the remote function ``task`` on this node; ``Unavailable`` if the node does not respond in time."""
    there = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
    refusal = f"The node {node['NodeManagerAddress']} cannot be asked now."
    options = {"scheduling_strategy": there}
    return await _run(task, args, options, timeout_s, Unavailable(refusal, retry_after_s=_RETRY_AFTER_S))


async def on_each(nodes: list[Node], task: Any, *args: Any) -> list[Any]:
    """The results of ``task`` on each of ``nodes``, in their order."""
    return await asyncio.gather(*(on_node(node, task, *args) for node in nodes))


async def on_each_that_responds(nodes: list[Node], task: Any, timeout_s: float) -> list[Any | None]:
    """The results of ``task`` on each of ``nodes``, in their order; None for a node that does not respond in time.

    Ray takes a node for alive for some 30 s after it was lost.
    """
    running = (on_node(node, task, timeout_s=timeout_s) for node in nodes)
    results = await asyncio.gather(*running, return_exceptions=True)
    responses: list[Any | None] = []
    for result in results:
        if isinstance(result, Unavailable):
            responses.append(None)
        elif isinstance(result, BaseException):
            raise result
        else:
            responses.append(result)
    return responses


async def read_log(report: ReplicaReport, lines: int) -> list[str]:
    """The last ``lines`` of a replica's engine log, at most 1 MiB; empty if it has not written any.

    The path is the one that the replica itself reported. ``Unavailable`` if its node does not respond in time.
    """
    if not report.log or not report.node:
        return []

    # A report has the node's address and not its ID, and Ray gives every node a resource named after its address.
    options = {"resources": {f"node:{report.node}": 0.001}}
    refusal = f"The log of {report.replica!r} is on {report.node}, which cannot be asked now."
    found: list[str] = await _run(_tail, (report.log, _MAX_LOG_BYTES), options, _LOG_TIMEOUT_S, Unavailable(refusal))
    return found[-lines:]


@ray.remote
def _tail(path: str, size: int) -> list[str]:
    return tail(Path(path), size)


async def _run(
    task: Any, args: tuple[Any, ...], options: dict[str, Any], timeout_s: float, refusal: Unavailable
) -> Any:
    """The result of ``task``; it is cancelled, and ``refusal`` raised, if it fails or has not ended after ``timeout_s``."""
    running = task.options(num_cpus=0, max_retries=0, **options).remote(*args)
    try:
        async with asyncio.timeout(timeout_s):
            return await running
    except (TimeoutError, ray.exceptions.RayError) as error:
        # A task for a node that is gone waits in Ray's queue for ever unless it is cancelled.
        ray.cancel(running, force=True)
        raise refusal from error
