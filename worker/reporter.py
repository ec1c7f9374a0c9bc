"""Tells the registry how this replica is doing."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import ray

from xinfer.messages import ReplicaReport, ReplicaStage
from xinfer.names import NAMESPACE, REGISTRY

_log = logging.getLogger("ray.serve")


class Reporter:
    """Sends this replica's report to the registry. A registry that is away misses nothing: every health check reports again."""

    def __init__(self, first: ReplicaReport) -> None:
        self.latest = first

    async def report(self, stage: ReplicaStage | None = None, **facts: object) -> None:
        """Send the latest report with these changes."""
        changes = {**facts, "updated_at": time.time(), **({"stage": stage} if stage else {})}
        self.latest = replace(self.latest, **changes)  # type: ignore[arg-type]
        try:
            registry = ray.get_actor(REGISTRY, namespace=NAMESPACE)
            await registry.report.remote(self.latest)
        except (ValueError, ray.exceptions.RayError) as error:
            _log.warning("registry not reached, will report again: %s", type(error).__name__)
