"""Tells the registry twice a second what this supervisor has to do for models whose number of replicas changes."""

from __future__ import annotations

import asyncio
import contextlib

from supervisor.gateway.request_metrics import RequestMetrics
from supervisor.model_table import LiveTable
from supervisor.registry.client import RegistryClient
from xinfer.errors import Unavailable

_PERIOD_S = 0.5


class LoadReports:
    """Reports nothing while no model is scaled by its load and no replica leaves."""

    def __init__(self, models: LiveTable, registry: RegistryClient, metrics: RequestMetrics) -> None:
        self._models = models
        self._registry = registry
        self._metrics = metrics

    async def run(self) -> None:
        """Report until it is cancelled."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            with contextlib.suppress(Unavailable):
                await self._report()

    async def _report(self) -> None:
        # Nothing is awaited between the version and the counts: they are of the same moment.
        version = self._models.version
        models = [each for each in self._models.all.values() if each.spec.autoscaling or each.leaving]
        loads = {model.spec.uid: self._metrics.load(model) for model in models}
        if loads:
            await self._registry.report_load(self._models.supervisor_id, version, loads)
