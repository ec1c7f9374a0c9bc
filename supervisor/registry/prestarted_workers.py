"""Sees to it that every node has a spare process for its first replica; replicas themselves replace the one they have taken."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import ray

from xinfer.cluster.spare import start_spare

_log = logging.getLogger("xinfer.registry")
_PERIOD_S = 5.0


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
                    await start_spare(node)
                except OSError as error:
                    _log.warning("%s", error)

    def new(self, nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those among the living ``nodes`` that have not been seen; each is named once."""
        found = [node for node in nodes if node["NodeID"] not in self._served]
        self._served = {node["NodeID"] for node in nodes}
        return found


async def _nodes() -> list[dict[str, Any]]:
    return [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
