"""REST: where Prometheus finds everything that has metrics, and those of HAProxy, which listens on loopback only."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import aiohttp
import ray
from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from ray.serve._private.constants import (
    RAY_SERVE_HAPROXY_METRICS_PORT,
    SERVE_CONTROLLER_NAME,
    SERVE_NAMESPACE,
)

from supervisor.api.schemas import ScrapeTarget
from supervisor.model_table import LiveTable
from supervisor.nodes.on_node import Node, alive
from supervisor.own_address import own_address
from xinfer.cluster.node_ingress import IngressNode
from xinfer.errors import Unavailable
from xinfer.messages import ModelStatus
from xinfer.names import SUPERVISOR_APP

Component = Literal["supervisor", "engine", "haproxy", "ray"]
SUPERVISOR_PATH = "/metrics/supervisor"
HAPROXY_PATH = "/metrics/haproxy"
_HAPROXY_TIMEOUT_S = 5.0
_SERVE_TIMEOUT_S = 5.0
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class SupervisorAddress:
    """Where one supervisor listens itself, without HAProxy."""

    name: str
    """Serve's name of its replica."""
    node: str
    address: str
    """``host:port``."""


class ScrapeTargetsApi:
    """Handlers of ``/v1/metrics/targets`` and of the metrics that are passed on."""

    def __init__(self, models: LiveTable) -> None:
        self._models = models

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route(
            "/v1/metrics/targets",
            self.targets,
            methods=["GET"],
            summary="Everything that has metrics, for Prometheus' http_sd_configs.",
        )
        routes.add_api_route(
            HAPROXY_PATH,
            self.haproxy,
            methods=["GET"],
            summary="The metrics of the HAProxy on this supervisor's node.",
            response_class=PlainTextResponse,
        )

    async def targets(
        self, component: Annotated[Component | None, Query(description="Only targets of this kind.")] = None
    ) -> list[ScrapeTarget]:
        """Supervisors by their own addresses, engines, HAProxies by a supervisor of their node, and Ray's node metrics."""
        found: list[ScrapeTarget] = []
        if component in (None, "supervisor", "haproxy"):
            supervisors = await _supervisors()
            if component != "haproxy":
                found += supervisor_targets(supervisors)
            if component != "supervisor":
                found += haproxy_targets(supervisors)
        if component in (None, "engine"):
            found += engine_targets(self._models.all)
        if component in (None, "ray"):
            found += ray_targets(await alive())
        return found

    async def haproxy(self) -> PlainTextResponse:
        """What HAProxy's own exporter says; ``Unavailable`` while it does not respond."""
        own = own_address()
        host = IngressNode(own, is_head=False).loopback if own else _LOOPBACK
        url = f"http://{host}:{RAY_SERVE_HAPROXY_METRICS_PORT}/metrics"
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_HAPROXY_TIMEOUT_S)) as session,
                session.get(url) as response,
            ):
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            raise Unavailable("The HAProxy of this node does not respond.", retry_after_s=5) from None
        if response.status != 200:
            raise Unavailable(f"The HAProxy of this node answered {response.status}.", retry_after_s=5)
        return PlainTextResponse(text, media_type=CONTENT_TYPE_LATEST)


def supervisor_targets(supervisors: Iterable[SupervisorAddress]) -> list[ScrapeTarget]:
    """Each by its own address: behind HAProxy, every scrape would meet another one."""
    return [
        _target("supervisor", each.address, supervisor=each.name, node=each.node, __metrics_path__=SUPERVISOR_PATH)
        for each in supervisors
    ]


def haproxy_targets(supervisors: Iterable[SupervisorAddress]) -> list[ScrapeTarget]:
    """One of each node that has a supervisor, which passes the metrics on."""
    by_node = {each.node: each for each in supervisors}
    return [
        _target("haproxy", each.address, node=each.node, __metrics_path__=HAPROXY_PATH) for each in by_node.values()
    ]


def engine_targets(models: Mapping[str, ModelStatus]) -> list[ScrapeTarget]:
    """Those that take requests."""
    found: list[ScrapeTarget] = []
    for uid, model in models.items():
        for report in model.targets:
            address = str(report.address).removeprefix("http://")
            found.append(_target("engine", address, model=uid, replica=report.replica, node=report.node))
    return found


def ray_targets(nodes: Iterable[Node]) -> list[ScrapeTarget]:
    """Ray's own metrics of every node: CPU, memory, disk and GPUs."""
    found: list[ScrapeTarget] = []
    for node in nodes:
        address, port = node["NodeManagerAddress"], node.get("MetricsExportPort")
        if port:
            found.append(_target("ray", f"{address}:{port}", node=address))
    return found


def _target(component: Component, address: str, **labels: str) -> ScrapeTarget:
    return {"targets": [address], "labels": {"job": f"xinfer-{component}", **labels}}


async def _supervisors() -> list[SupervisorAddress]:
    """The supervisors that Serve has told HAProxy of. Raises ``Unavailable`` while Serve's controller is away."""
    try:
        controller = await asyncio.to_thread(_controller)
        async with asyncio.timeout(_SERVE_TIMEOUT_S):
            # As HAProxy asks: others get HAProxy's address instead.
            groups = await controller.get_target_groups.remote(SUPERVISOR_APP, from_proxy_manager=True)
            options = await controller.get_http_config.remote()
    except (TimeoutError, ValueError, ray.exceptions.RayError):
        raise Unavailable("Serve's controller does not respond.", retry_after_s=5) from None
    found: list[SupervisorAddress] = []
    for group in groups:
        if group.app_name == SUPERVISOR_APP and group.protocol == "HTTP":
            for each in group.targets:
                on_loopback = _is_loopback(options.host) and own_address() is None
                host = _LOOPBACK if on_loopback else each.ip
                found.append(SupervisorAddress(each.name, each.ip, f"{host}:{each.port}"))
    return sorted(found, key=lambda each: each.address)


def _controller() -> Any:
    """Serve's controller; ``ValueError`` if there is none. Serve's own way to it would start a Ray where there is none."""
    if not ray.is_initialized():
        raise ValueError("this process has no Ray")
    return ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
