"""Sees to it that Serve runs as many supervisors as the nodes there are shall have."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import ray
from ray.serve._private.common import DeploymentID
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

from supervisor.nodes.on_node import open_nodes
from xinfer.names import SUPERVISOR_APP, SUPERVISOR_DEPLOYMENT

_log = logging.getLogger("xinfer.registry")
_PERIOD_S = 2.0


class NodeSupervisors:
    """``per_node`` supervisors on each node that takes replicas.

    Serve itself has no deployment with a replica on each node. It is told of a number, and never puts more than ``per_node`` on
    one node: those of a node that joins have only that one to go to.
    """

    def __init__(self, per_node: int) -> None:
        self._per_node = per_node
        self._told: int | None = None

    def wanted(self, nodes: int) -> int | None:
        """The number that Serve is to be told; None if it knows."""
        number = self._per_node * max(1, nodes)
        if number == self._told:
            return None
        return number

    async def tend(self) -> None:
        """Follow the nodes, for ever."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            try:
                nodes = len(await asyncio.to_thread(open_nodes))
                number = self.wanted(nodes)
                if number is not None:
                    await self._scale(number)
                    _log.info("%d supervisors for %d nodes", number, nodes)
            except (ValueError, ray.exceptions.RayError) as error:
                _log.warning("Serve could not be told of the number of supervisors: %s", type(error).__name__)

    async def _scale(self, number: int) -> None:
        controller: Any = await asyncio.to_thread(ray.get_actor, SERVE_CONTROLLER_NAME, SERVE_NAMESPACE)
        deployment = DeploymentID(name=SUPERVISOR_DEPLOYMENT, app_name=SUPERVISOR_APP)
        # The way of Serve's REST API for external scalers, which only its dashboard has.
        await controller.update_deployment_replicas.remote(deployment, number)
        self._told = number
