"""A spare Ray process on a node, with a replica's modules imported, for the next replica to be put into.

Ray starts a process for an actor when the actor is placed, and that process imports Serve and the worker: over a second on a node
with no process to spare. Ray can be asked to start one ahead (``NodeManagerService.PrestartWorkers``) and does so by itself only
for the cores of a node, when it starts.
"""

from __future__ import annotations

import os
from typing import Any

import psutil

PRELOADED = "ray.serve._private.replica,worker.replica"
"""What Ray has its processes import ahead, by its setting ``preload_python_modules``."""
SETTING = "RAY_preload_python_modules"
_KEPT_S = 365 * 24 * 3600
_TIMEOUT_S = 10.0
# ray.rpc.Language.
_PYTHON = 0
# Once it is up, and before.
_NAMES = ("ray::IDLE", "default_worker.py")


def wanted() -> bool:
    return os.environ.get(SETTING) == PRELOADED


async def start_spare(node: dict[str, Any]) -> None:
    """Have a process started on ``node``, one of ``ray.nodes()``. It stays until it is used. ``OSError`` if that fails."""
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import node_manager_pb2, node_manager_pb2_grpc

    request = node_manager_pb2.PrestartWorkersRequest(language=_PYTHON, num_workers=1, keep_alive_duration_secs=_KEPT_S)
    channel = init_grpc_channel(f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}", asynchronous=True)
    try:
        await node_manager_pb2_grpc.NodeManagerServiceStub(channel).PrestartWorkers(request, timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        raise OSError(f"Ray did not start a spare process: {error}") from error
    finally:
        await channel.close()


def has_spare() -> bool:
    """Whether this node has one; to be asked by a process of Ray's."""
    raylet = psutil.Process(os.getppid())
    return any(_is_spare(process) for process in raylet.children() if process.pid != os.getpid())


def _is_spare(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return any(word.strip().endswith(_NAMES) for word in words)
