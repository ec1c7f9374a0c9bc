"""The agent of a node: an actor that reports what the node has, and does what can only be done there.

It is there from the first seconds of a node, so that a question does not wait for Ray to start a process on a busy node, and
goes on while the node is drained, when Ray takes no task for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

import psutil
import ray

from supervisor.nodes import hub_cache
from supervisor.nodes.hub_cache import CachedRepo
from supervisor.nodes.measurements import measure
from xinfer import settings
from xinfer.cluster.stopping import stop_soon
from xinfer.engine_log import tail
from xinfer.names import NAMESPACE, NODE_PROCESS, REGISTRY

_log = logging.getLogger("xinfer.node")
_PERIOD_S = 5.0
_ANSWER_FIRST_S = 1.0


class NodeAgent:
    """One node's. Every method may be called at any time, and from any process of the cluster."""

    def __init__(self) -> None:
        self._node: str = ray.get_runtime_context().get_node_id()
        self._reports = asyncio.create_task(self._report())

    async def ping(self) -> None:
        """Return, now that it is up."""

    async def tail(self, path: str, size: int) -> list[str]:
        """The last lines of a file, of at most ``size`` bytes; empty without the file."""
        return await asyncio.to_thread(tail, Path(path), size)

    async def scan_hub_cache(self) -> list[CachedRepo]:
        """The models in the hub's cache."""
        return await asyncio.to_thread(hub_cache.scan)

    async def remove_from_hub_cache(self, repo: str) -> bool:
        """Delete all revisions of a model from it; True if it was there and is gone."""
        return await asyncio.to_thread(hub_cache.remove, repo)

    async def stop_node(self) -> None:
        """Have the node stopped in a moment, as ``xinfer stop`` does it."""
        await asyncio.to_thread(stop_soon, _ANSWER_FIRST_S)

    async def rejoin(self) -> None:
        """Have the node leave the cluster and join it anew, which takes seconds; everything that runs on it ends."""
        asyncio.get_running_loop().call_later(_ANSWER_FIRST_S, os.kill, _node_process(), signal.SIGHUP)

    async def _report(self) -> None:
        while True:
            report = await asyncio.to_thread(measure, self._node, settings.home())
            try:
                registry = ray.get_actor(REGISTRY, namespace=NAMESPACE)
                await registry.report_node.remote(report)
            except (ValueError, ray.exceptions.RayError) as error:
                _log.warning("the registry was not reached and will be told later: %s", type(error).__name__)
            await asyncio.sleep(_PERIOD_S)


def _node_process() -> int:
    """The process that has started Ray on this node."""
    for parent in psutil.Process().parents():
        if NODE_PROCESS in parent.cmdline():
            return parent.pid
    raise RuntimeError("this node was not started by xinfer")
