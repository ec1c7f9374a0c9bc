"""REST: metrics in Prometheus text format, and the requests in flight as vLLM's server tells them."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid

import ray
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from supervisor.access.live_keys import LiveKeys
from supervisor.api.prometheus import Figures
from supervisor.api.schemas import ScrapeTarget, ServerLoad
from supervisor.api.scrape_targets import SUPERVISOR_PATH
from supervisor.api.traffic import TrafficRing
from supervisor.api.xinfer_metrics import ClusterFacts, XinferMetrics
from supervisor.background import Background
from supervisor.gateway.request_metrics import RequestMetrics
from supervisor.model_table import LiveTable
from supervisor.nodes.on_node import living_nodes
from supervisor.registry.client import RegistryClient
from xinfer.cluster.tls import own_certificate_ends_at
from xinfer.errors import Unavailable
from xinfer.messages import ModelLife, ModelMetrics

_TELL_PERIOD_S = 5.0


class MetricsApi:
    """Handlers of ``/metrics`` and ``/load``. Supervisors tell the registry what they counted: each shows the sum of all."""

    def __init__(
        self,
        models: LiveTable,
        registry: RegistryClient,
        tallies: RequestMetrics,
        max_requests_per_replica: int,
        keys: LiveKeys | None = None,
    ) -> None:
        """``keys`` have counted by key, where keys are required."""
        self._models = models
        self._registry = registry
        self._tallies = tallies
        self._limit = max_requests_per_replica
        self._keys = keys
        self._id = uuid.uuid4().hex
        self._started = time.time()
        self._background = Background()
        self.traffic = TrafficRing()

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route(
            "/metrics",
            self.metrics,
            methods=["GET"],
            summary="Metrics in Prometheus text format.",
            response_class=PlainTextResponse,
        )
        routes.add_api_route(
            SUPERVISOR_PATH,
            self.supervisor,
            methods=["GET"],
            summary="Metrics of the supervisor that answers, in Prometheus text format.",
            response_class=PlainTextResponse,
        )
        routes.add_api_route(
            "/metrics/engines", self.engines, methods=["GET"], summary="Where the engines' own metrics are."
        )
        self.traffic.add_routes(routes)
        routes.add_api_route("/load", self.load, methods=["GET"], summary="Requests in flight, of all models.")

    def start(self) -> None:
        self._background.spawn(self._tell())

    async def stop(self) -> None:
        await self._background.stop()

    async def metrics(self) -> PlainTextResponse:
        """What all supervisors together have counted, under Xinference's names and under xinfer's."""
        sums = await self._sums()
        facts = await self._facts()
        figures = Figures(self._models.all, sums, self._limit, facts.nodes, time.time() - self._started)
        key_sums = await self._keys.key_sums(self._models.all) if self._keys else None
        return _page(figures, XinferMetrics(facts, sums, key_sums))

    async def supervisor(self) -> PlainTextResponse:
        """What the supervisor that answers has counted itself, and its process: for a scrape of each by its own address."""
        own = self._tallies.snapshot(self._models.all)
        by_key = self._keys.counter.snapshot(self._models.all) if self._keys else None
        return _page(XinferMetrics(await self._facts(), own, by_key), process=True)

    async def engines(self) -> list[ScrapeTarget]:
        """Where vLLM's own metrics are, as Prometheus' ``http_sd_config`` reads it."""
        found: list[ScrapeTarget] = []
        for model in self._models.all.values():
            for number, replica in enumerate(model.replicas):
                if replica not in model.targets:
                    continue
                address = str(replica.address).removeprefix("http://")
                labels = {"model_uid": model.spec.uid, "replica_index": str(number)}
                found.append({"targets": [address], "labels": labels})
        return found

    async def load(self) -> ServerLoad:
        """Requests in flight at all supervisors; those of others are as of their last report, up to 5 seconds ago."""
        sums = await self._sums()
        return {"server_load": sum(counted.in_flight for counted in sums.values())}

    async def _sums(self) -> dict[str, ModelMetrics]:
        sums: dict[str, ModelMetrics] = await self._registry.exchange_metrics(
            self._id, self._tallies.snapshot(self._models.all)
        )
        return sums

    async def _facts(self) -> ClusterFacts:
        lives: dict[str, ModelLife] | None = None
        # While the registry is away the rest is worth having.
        with contextlib.suppress(Unavailable):
            lives = await self._registry.model_lives()
        nodes = await asyncio.to_thread(_workers)
        return ClusterFacts(self._models.all, lives, self._limit, nodes, own_certificate_ends_at())

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_TELL_PERIOD_S)
            with contextlib.suppress(Unavailable):
                self.traffic.note(time.time(), await self._sums())
                if self._keys:
                    await self._keys.key_sums(self._models.all)


def _page(*collectors: Collector, process: bool = False) -> PlainTextResponse:
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    if process:
        ProcessCollector(registry=registry)
    return PlainTextResponse(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _workers() -> int:
    return len(living_nodes(ray.nodes()))
