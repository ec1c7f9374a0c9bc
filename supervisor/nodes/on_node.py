"""The cluster's living nodes, and what their agents do for others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import ray
from ray._private.state import state

from xinfer.errors import BadRequest, LaunchRefused, Unavailable
from xinfer.messages import ReplicaReport
from xinfer.names import NAMESPACE, node_agent
from xinfer.node_labels import as_text

Node = dict[str, Any]
MAX_LINES = 10_000
_MAX_LOG_BYTES = 1024 * 1024
_LOG_TIMEOUT_S = 20.0
_TIMEOUT_S = 30.0
_RETRY_AFTER_S = 5
_NAMED = 20
# The agent of a node that has just joined is on its way.
_AGENT_PERIOD_S = 0.2
_GROUP = "ray.io/node-group"
_HEAD = "node:__internal_head__"
"""A label and a resource that Ray gives to nodes."""


def head_address() -> str:
    """The address of the node with the supervisors and the registry, without a port."""
    address: str = ray.get_runtime_context().gcs_address
    return address.rpartition(":")[0]


def living_nodes(nodes: Iterable[Node]) -> list[Node]:
    """Those of ``ray.nodes()`` that are up. Ray keeps the records of nodes that have left."""
    return [node for node in nodes if node["Alive"]]


def draining_nodes() -> set[str]:
    """The IDs of the nodes on which Ray places nothing any more. Blocks on the GCS."""
    return set(state.get_draining_nodes())


def draining_addresses() -> set[str]:
    """The addresses of the living nodes that are drained. Blocks on the GCS."""
    draining = draining_nodes()
    if not draining:
        return set()
    return {node["NodeManagerAddress"] for node in living_nodes(ray.nodes()) if node["NodeID"] in draining}


def open_nodes() -> list[Node]:
    """The living nodes that take new replicas. Blocks on the GCS."""
    draining = draining_nodes()
    return [node for node in living_nodes(ray.nodes()) if node["NodeID"] not in draining]


def suitable(nodes: Iterable[Node], address: str | None, labels: Mapping[str, str]) -> list[Node]:
    """Those of ``nodes`` on which a launch may run that asks for this address and these labels.

    ``LaunchRefused`` if there is none.
    """
    every = list(nodes)
    found = every
    if address:
        found = [node for node in found if node["NodeManagerAddress"] == address]
        if not found:
            there = ", ".join(node["NodeManagerAddress"] for node in every[:_NAMED])
            raise LaunchRefused(
                f"worker_ip={address[:100]!r}: no node that takes replicas has this address. These do: {there}.",
                param="worker_ip",
            )
    if labels:
        found = [node for node in found if has_labels(node, labels)]
        if not found:
            raise LaunchRefused(
                f"No node that takes replicas has the labels {as_text(labels)}. `xinfer nodes` shows the labels of each.",
                param="node_labels",
            )
    return found


def has_labels(node: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a node, one of ``ray.nodes()``, has all of ``labels``."""
    return labels.items() <= (node.get("Labels") or {}).items()


def is_autoscaled(node: Node) -> bool:
    """Whether Ray's autoscaler may have started the node, and end it: it is of one of its groups, and not the head."""
    return _GROUP in (node.get("Labels") or {}) and _HEAD not in node["Resources"]


async def tended(nodes: Iterable[Node]) -> list[Node]:
    """Those of ``nodes`` that have an agent, or get one: it leaves those that Ray's autoscaler may end."""
    return await asyncio.to_thread(_tended, list(nodes))


def _tended(nodes: list[Node]) -> list[Node]:
    return [node for node in nodes if not is_autoscaled(node) or _has_agent(node["NodeID"])]


def _has_agent(node_id: str) -> bool:
    try:
        ray.get_actor(node_agent(node_id), NAMESPACE)
    except ValueError:
        return False
    return True


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


async def on_node(node: Node, method: str, *args: Any, timeout_s: float = _TIMEOUT_S) -> Any:
    """What the node's agent responds to ``method``; ``Unavailable`` if it does not in time."""
    deadline = time.monotonic() + timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            agent = await _agent(node["NodeID"], deadline)
            return await getattr(agent, method).remote(*args)
    except (TimeoutError, ValueError, ray.exceptions.RayError) as error:
        refusal = f"The node {node['NodeManagerAddress']} cannot be asked now."
        raise Unavailable(refusal, retry_after_s=_RETRY_AFTER_S) from error


async def on_each(nodes: list[Node], method: str, *args: Any) -> list[Any]:
    """The responses of the agents of ``nodes``, in their order."""
    return await asyncio.gather(*(on_node(node, method, *args) for node in nodes))


async def on_each_that_responds(nodes: list[Node], method: str, timeout_s: float) -> list[Any | None]:
    """The responses of the agents of ``nodes``, in their order; None for a node that does not respond in time.

    Ray takes a node for alive for some seconds after it was lost.
    """
    running = (on_node(node, method, timeout_s=timeout_s) for node in nodes)
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

    # A report has the node's address and not its ID.
    there = [node for node in await alive() if node["NodeManagerAddress"] == report.node]
    if not there:
        refusal = f"The log of {report.replica!r} is on {report.node}, which cannot be asked now."
        raise Unavailable(refusal, retry_after_s=_RETRY_AFTER_S)
    found: list[str] = await on_node(there[0], "tail", report.log, _MAX_LOG_BYTES, timeout_s=_LOG_TIMEOUT_S)
    return found[-lines:]


async def _agent(node_id: str, deadline: float) -> Any:
    """The actor of a node; ``ValueError`` if there is none at the deadline."""
    while True:
        try:
            return await asyncio.to_thread(ray.get_actor, node_agent(node_id), NAMESPACE)
        except ValueError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_AGENT_PERIOD_S)
