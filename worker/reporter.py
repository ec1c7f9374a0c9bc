"""Tells the registry how this replica is doing."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any

import ray

from xinfer.messages import EngineLoad, ReplicaOrders, ReplicaReport, ReplicaStage, StageTime
from xinfer.names import NAMESPACE, REGISTRY

_log = logging.getLogger("xinfer.worker")


class Reporter:
    """Sends this replica's report to the registry.

    A registry that is away misses nothing: every health check reports again.
    """

    def __init__(self, first: ReplicaReport) -> None:
        self.latest = first
        self.orders = ReplicaOrders()
        """The last that the registry gave."""

    async def report(self, stage: ReplicaStage | None = None, **facts: object) -> ReplicaOrders:
        """Send the latest report with these changes; returns what this replica is to do."""
        now = time.time()
        changes = {**facts, "updated_at": now, **(self._moved(stage, now) if stage else {})}
        self.latest = replace(self.latest, **changes)  # type: ignore[arg-type]
        return await self._send("report", self.latest)

    async def report_load(self, load: EngineLoad) -> ReplicaOrders:
        """Send how busy the engine is; returns what this replica is to do."""
        return await self._send("report_engine_load", self.latest, load)

    async def report_end(self) -> ReplicaOrders:
        """Say that Serve ends this replica; returns whether it is to finish its requests before."""
        return await self._send("end_replica", self.latest)

    async def _send(self, method: str, *args: object) -> ReplicaOrders:
        try:
            registry: Any = ray.get_actor(REGISTRY, namespace=NAMESPACE)
            orders: ReplicaOrders = await registry.call.remote(method, *args)
        except (ValueError, ray.exceptions.RayError) as error:
            _log.warning("registry not reached, will report again: %s", type(error).__name__)
            return replace(self.orders, start=True)
        else:
            self.orders = orders
            return orders

    def _moved(self, stage: ReplicaStage, now: float) -> dict[str, object]:
        """A stage that is new, and the time at which it began."""
        times = self.latest.times
        if times and times[-1].stage is stage:
            return {"stage": stage}
        return {"stage": stage, "times": (*times, StageTime(stage, now))}
