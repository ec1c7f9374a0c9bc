"""Sees to it that every node has its agent, and spare processes for its first replicas.

Replicas themselves have the spare process replaced that they have taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from supervisor.nodes.agent import NodeAgent
from supervisor.nodes.on_node import Node, alive
from supervisor.registry.idle_nodes import IdleNodes
from xinfer.messages import NodeReport
from xinfer.names import NAMESPACE, node_agent

_log = logging.getLogger("xinfer.registry")
# Every process that starts beside Serve and the supervisors delays the cluster's own start.
_FIRST_LOOK_S = 5.0
_PERIOD_S = 2.0
_UP_S = 60.0
_FORGOTTEN_AFTER_S = 60.0


class NodeReports:
    """The latest report of every node."""

    def __init__(self) -> None:
        self._latest: dict[str, NodeReport] = {}

    def take(self, report: NodeReport) -> None:
        self._latest[report.node] = report

    def latest(self, now: float) -> dict[str, NodeReport]:
        """By Ray's node ID, at a Unix time; none of a node that has been silent for a minute."""
        oldest = now - _FORGOTTEN_AFTER_S
        self._latest = {node: report for node, report in self._latest.items() if report.measured_at >= oldest}
        return dict(self._latest)


class NodeAgents:
    """Remembers the nodes that have had what they need."""

    def __init__(self, *, autoscaled: bool = False) -> None:
        self._idle = IdleNodes(enabled=autoscaled)
        self._served: set[str] = set()

    async def tend(self, *, restarted: bool, in_use: Callable[[], set[str]] = set) -> None:
        """Watch for new nodes, for ever; after a restart of the registry at once.

        ``in_use`` gives the addresses of the nodes that have replicas.
        """
        if not restarted:
            await asyncio.sleep(_FIRST_LOOK_S)
        while True:
            nodes = await alive()
            idle = self._idle.among(nodes, in_use(), time.monotonic())
            for node_id in self._served & idle:
                await asyncio.to_thread(_end_agent, node_id)
            await asyncio.gather(*(self._serve(node) for node in self.new(nodes, idle)))
            await asyncio.sleep(_PERIOD_S)

    def new(self, nodes: list[Node], idle: Collection[str] = ()) -> list[Node]:
        """Those among the living ``nodes`` that have not been seen; each is named once, ``idle`` ones when they are no more."""
        tended = [node for node in nodes if node["NodeID"] not in idle]
        found = [node for node in tended if node["NodeID"] not in self._served]
        self._served = {node["NodeID"] for node in tended}
        return found

    async def _serve(self, node: Node) -> None:
        try:
            await _start_agent(node)
        except OSError as error:
            _log.warning("%s", error)
            self._served.discard(node["NodeID"])


async def prestart_workers(node_id: str) -> None:
    """Have the agent of this node prestart what its node lacks of spare processes."""
    try:
        await ray.get_actor(node_agent(node_id), NAMESPACE).prestart_workers.remote()
    except (ValueError, ray.exceptions.RayError) as error:
        # The node's next replica waits about a second longer.
        _log.warning("the agent of node %s was not reached: %s", node_id, type(error).__name__)


def _end_agent(node_id: str) -> None:
    with contextlib.suppress(ValueError):  # it has gone
        ray.kill(ray.get_actor(node_agent(node_id), NAMESPACE), no_restart=True)


async def _start_agent(node: Node) -> None:
    """``OSError`` if the agent does not come up."""
    actor_class: Any = ray.remote(NodeAgent)
    agent = actor_class.options(
        name=node_agent(node["NodeID"]),
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        num_cpus=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
    ).remote()
    try:
        async with asyncio.timeout(_UP_S):
            await agent.prestart_workers.remote()
    except (TimeoutError, ray.exceptions.RayError) as error:
        raise OSError(f"the agent of {node['NodeManagerAddress']} did not come up: {error}") from error
