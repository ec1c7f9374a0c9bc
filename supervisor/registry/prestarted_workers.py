"""Sees to it that every node has a spare process for its first replica; replicas themselves replace the one they have taken."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import ray
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import node_manager_pb2, node_manager_pb2_grpc

from supervisor.nodes.on_node import living_nodes

_log = logging.getLogger("xinfer.registry")
_PERIOD_S = 5.0
# Until it is used, or a year: Ray has no value for ever.
_KEEP_ALIVE_S = 365 * 24 * 3600
_TIMEOUT_S = 10.0
# ray.rpc.Language
_PYTHON = 0


class PrestartedWorkers:
    """Remembers the nodes that have had theirs."""

    def __init__(self) -> None:
        self._served: set[str] = set()

    async def tend(self, *, restarted: bool) -> None:
        """Watch for new nodes, for ever. After a restart of the registry those there are have had theirs."""
        if restarted:
            self._served = {node["NodeID"] for node in await _nodes()}
        while True:
            await asyncio.sleep(_PERIOD_S)
            for node in self.new(await _nodes()):
                try:
                    await prestart_worker(node)
                except OSError as error:
                    _log.warning("%s", error)

    def new(self, nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those among the living ``nodes`` that have not been seen; each is named once."""
        found = [node for node in nodes if node["NodeID"] not in self._served]
        self._served = {node["NodeID"] for node in nodes}
        return found


async def prestart_worker_on(node_id: str) -> None:
    """``prestart_worker`` on the node with this id. ``OSError`` if that fails, or if no such node is alive."""
    for node in await _nodes():
        if node["NodeID"] == node_id:
            await prestart_worker(node)
            return
    raise OSError(f"Ray did not start a spare process: node {node_id} is not alive")


async def prestart_worker(node: dict[str, Any]) -> None:
    """Have Ray start a process on ``node``, one of ``ray.nodes()``; it stays until it is used. ``OSError`` if that fails."""
    # Ray has no Python interface for this: its raylets do, and Ray itself calls it only when a node starts.
    request = node_manager_pb2.PrestartWorkersRequest(
        language=_PYTHON, num_workers=1, keep_alive_duration_secs=_KEEP_ALIVE_S
    )
    channel = init_grpc_channel(f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}", asynchronous=True)
    try:
        stub = node_manager_pb2_grpc.NodeManagerServiceStub(channel)
        await stub.PrestartWorkers(request, timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        raise OSError(f"Ray did not start a spare process: {error}") from error
    finally:
        await channel.close()


async def _nodes() -> list[dict[str, Any]]:
    return living_nodes(await asyncio.to_thread(ray.nodes))
