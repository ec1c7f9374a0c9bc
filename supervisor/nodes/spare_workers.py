"""Spare processes that Ray starts ahead on a node, for the replicas that come next."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

import grpc
import psutil
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import node_manager_pb2, node_manager_pb2_grpc

from supervisor.nodes.on_node import Node, alive
from xinfer.cluster.environment import SPARE_WORKERS
from xinfer.cluster.processes import command_line

_log = logging.getLogger("xinfer.node")
# Replicas of one launch come up one after the other; the next launch of a person comes later.
_QUIET_S = 1.5
# Until it is used, or a year: Ray has no value for ever.
_KEEP_ALIVE_S = 365 * 24 * 3600
_TIMEOUT_S = 10.0
# ray.rpc.Language
_PYTHON = 0
# A node with several GPUs often gets several replicas at once.
_MOST = 2


class SpareWorkers:
    """Those of the node on which this process of Ray's runs."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._has_begun = False
        self._asked_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def top_up(self) -> None:
        """Have Ray start those that are missing, as soon as nobody has asked for that for a moment.

        The start of a process takes a core for some time, which replicas that come up at the same time need themselves.
        """
        if SPARE_WORKERS not in os.environ:
            return
        self._asked_at = time.monotonic()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._answer())

    async def _answer(self) -> None:
        """Until nobody has asked since."""
        answered = 0.0
        while answered < self._asked_at:
            answered = self._asked_at
            await asyncio.sleep(max(0.0, answered + _QUIET_S - time.monotonic()))
            if answered == self._asked_at:
                await self._start_missing()

    async def _start_missing(self) -> None:
        try:
            node = await self._node()
            missing = wanted_on(node)
            # At first, processes that Ray has just started are the cluster's own.
            if self._has_begun:
                missing -= await asyncio.to_thread(_count_idle)
            if missing > 0:
                await start_spare_workers(node, missing)
            self._has_begun = True
        except OSError as error:
            # The next replica waits for a process.
            _log.warning("%s", error)

    async def _node(self) -> Node:
        for node in await alive():
            if node["NodeID"] == self._node_id:
                return node
        raise OSError(f"Ray did not start a spare process: node {self._node_id} is not alive")


def wanted_on(node: Node) -> int:
    """How many a node, one of ``ray.nodes()``, should have: one for each GPU, one at least and two at most."""
    gpus = int(node["Resources"].get("GPU", 0))
    return max(1, min(gpus, _MOST))


async def start_spare_workers(node: dict[str, Any], count: int) -> None:
    """Have Ray start so many processes on one of ``ray.nodes()``; each stays until it is used. ``OSError`` if that fails."""
    # Ray has no Python interface for this: its raylets do, and Ray itself calls it only when a node starts.
    request = node_manager_pb2.PrestartWorkersRequest(
        language=_PYTHON, num_workers=count, keep_alive_duration_secs=_KEEP_ALIVE_S
    )
    channel = init_grpc_channel(f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}", asynchronous=True)
    try:
        stub = node_manager_pb2_grpc.NodeManagerServiceStub(channel)
        await stub.PrestartWorkers(request, timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        raise OSError(f"Ray did not start a spare process: {error}") from error
    finally:
        await channel.close()


def _count_idle() -> int:
    """The idle processes of this node: children of its raylet, or of the fork server as this process is."""
    parents = {int(os.environ["RAY_RAYLET_PID"]), os.getppid()}
    return sum(_is_idle(process) for pid in parents for process in psutil.Process(pid).children())


def _is_idle(process: psutil.Process) -> bool:
    command = command_line(process)
    # A Ray process shows the first name once it is up, and the second one before.
    return "ray::IDLE" in command or "default_worker.py" in command
