"""Spare processes that Ray starts ahead, one on each node for its next replica."""

from __future__ import annotations

from typing import Any

import grpc
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import node_manager_pb2, node_manager_pb2_grpc

from supervisor.nodes.on_node import alive

# Until it is used, or a year: Ray has no value for ever.
_KEEP_ALIVE_S = 365 * 24 * 3600
_TIMEOUT_S = 10.0
# ray.rpc.Language
_PYTHON = 0


async def prestart_worker_on(node_id: str) -> None:
    """``prestart_worker`` on the node with this id. ``OSError`` if that fails, or if no such node is alive."""
    for node in await alive():
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
