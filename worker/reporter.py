"""Tells the registry how this replica is doing."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import ray

from xinfer.messages import ReplicaReport, ReplicaStage, StageTime
from xinfer.names import NAMESPACE, REGISTRY

_log = logging.getLogger("xinfer.worker")


class Reporter:
    """Sends this replica's report to the registry.

    A registry that is away misses nothing: every health check reports again.
    """

    def __init__(self, first: ReplicaReport) -> None:
        self.latest = first

    async def report(self, stage: ReplicaStage | None = None, **facts: object) -> None:
        """Send the latest report with these changes."""
        now = time.time()
        changes = {**facts, "updated_at": now, **(self._moved(stage, now) if stage else {})}
        self.latest = replace(self.latest, **changes)  # type: ignore[arg-type]
        try:
            registry = ray.get_actor(REGISTRY, namespace=NAMESPACE)
            await registry.report.remote(self.latest)
        except (ValueError, ray.exceptions.RayError) as error:
            _log.warning("registry not reached, will report again: %s", type(error).__name__)

    def _moved(self, stage: ReplicaStage, now: float) -> dict[str, object]:
        """A stage that is new, and the time at which it began."""
        times = self.latest.times
        if times and times[-1].stage is stage:
            return {"stage": stage}
        return {"stage": stage, "times": (*times, StageTime(stage, now))}
