"""REST: the cluster itself."""

from __future__ import annotations

import time
from typing import Any

import ray
from fastapi import APIRouter
from pydantic import BaseModel, Field

from supervisor.access.caller import visible
from supervisor.api import schemas
from supervisor.api.parameters import Detailed, OptionalJsonObject, Requester, describe_body, validate
from supervisor.model_table import LiveTable
from supervisor.nodes import on_node as nodes
from supervisor.nodes.gpu_inventory import gpu_bytes
from supervisor.registry.client import RegistryClient
from xinfer import __version__
from xinfer.errors import Unavailable
from xinfer.messages import ModelStatus, NodeReport, ReplicaReport
from xinfer.settings import DRAIN_TIMEOUT_S

_STOP_TIMEOUT_S = 10.0


class DrainRequest(BaseModel):
    """How long requests that are under way may go on."""

    timeout: float = Field(DRAIN_TIMEOUT_S, ge=0, le=3600, description="In seconds.")


class ClusterApi:
    """Handlers that tell of nodes and versions."""

    def __init__(self, models: LiveTable, registry: RegistryClient, *, requires_keys: bool = False) -> None:
        self._requires_keys = requires_keys
        self._table = models
        self._registry = registry
        self._started = time.time()

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route("/health", self.health, methods=["GET"], summary="Alive.")
        routes.add_api_route("/ping", self.health, methods=["GET"], summary="Alive, as vLLM's server has it, too.")
        routes.add_api_route(
            "/version",
            self.server_version,
            methods=["GET"],
            summary="xinfer's version, where vLLM's server has its own.",
        )
        routes.add_api_route("/status", self.status, methods=["GET"], summary="Uptime in seconds, and the nodes.")
        routes.add_api_route("/v1/address", self.address, methods=["GET"], summary="Ray's address.")
        routes.add_api_route("/v1/cluster/auth", self.auth, methods=["GET"], summary="Whether an API key is required.")
        routes.add_api_route(
            "/v1/cluster/version", self.version, methods=["GET"], summary="Versions of xinfer and Ray."
        )
        routes.add_api_route("/v1/cluster/info", self.info, methods=["GET"], summary="The nodes.")
        routes.add_api_route(
            "/v1/cluster/devices", self.devices, methods=["GET"], summary="The most GPUs that one node has."
        )
        routes.add_api_route("/v1/supervisor", self.supervisor, methods=["GET"], summary="The head's address.")
        routes.add_api_route("/v1/workers", self.workers, methods=["GET"], summary="Which models are on which node.")
        routes.add_api_route(
            "/v1/cluster/drain",
            self.drain,
            methods=["POST"],
            summary="Take no more requests, and wait for the end of those under way.",
            openapi_extra=describe_body(DrainRequest, required=False),
        )
        routes.add_api_route("/v1/clusters", self.stop, methods=["DELETE"], summary="Stop the whole cluster.")

    async def health(self) -> schemas.Health:
        return {"status": "ok"}

    async def status(self) -> schemas.ClusterStatus:
        """Uptime in seconds, and the nodes."""
        uptime = int(time.time() - self._started)
        return {"uptime": uptime, "workers": {node["NodeManagerAddress"]: _node(node) for node in _alive()}}

    async def address(self) -> str:
        """Ray's address, for nodes that join."""
        gcs_address: str = ray.get_runtime_context().gcs_address
        return gcs_address

    async def auth(self) -> schemas.Auth:
        """Whether clients have to send a key."""
        return {"auth": self._requires_keys}

    async def version(self) -> schemas.Version:
        return {"version": __version__, "full-revisionid": None, "ray": ray.__version__}

    async def server_version(self) -> schemas.ServerVersion:
        return {"version": __version__, "xinfer": __version__}

    async def info(self, detailed: Detailed = False) -> list[schemas.NodeInfo]:
        """Every node as a worker; before them the head as the supervisors' host, its GPUs not counted twice."""
        alive = await nodes.alive()
        head = nodes.head_address()
        reports: dict[str, NodeReport] = {}
        if detailed:
            reports = await self._reports()
        rows = [_row(node, reports.get(node["NodeID"])) for node in alive]
        first = [{**row, "node_type": "Supervisor", **_without_gpus(row)} for row in rows if row["ip_address"] == head]
        nodes_info: list[Any] = first + rows
        return nodes_info

    async def devices(self) -> int:
        """The most GPUs that one node has."""
        return max((_node(node)["gpu_count"] for node in _alive()), default=0)

    async def supervisor(self) -> schemas.SupervisorIp:
        return {"supervisor_ip": nodes.head_address()}

    async def workers(self, caller: Requester) -> list[schemas.WorkerModels]:
        """Which models have replicas on which node."""
        models = visible(self._table.all.values(), caller)
        return [{"work-ip": node["NodeManagerAddress"], "models": _models_on(node, models)} for node in _alive()]

    async def drain(self, body: OptionalJsonObject) -> schemas.Drained:
        """Take no more requests and wait until nothing is under way; after ``timeout`` seconds the rest ends with an error.

        ``xinfer stop`` begins with this. A cluster that is not stopped within a minute takes requests again.
        """
        timeout_s = validate(DrainRequest, body).timeout
        return {"drained": await self._registry.drain_cluster(timeout_s)}

    async def stop(self) -> schemas.Result:
        """Drain the cluster, then stop every node as ``xinfer stop`` does."""
        await self._registry.drain_cluster(DRAIN_TIMEOUT_S)
        await nodes.on_each_that_responds(await nodes.alive(), "stop_node", _STOP_TIMEOUT_S)
        return {"result": True}

    async def _reports(self) -> dict[str, NodeReport]:
        try:
            return await self._registry.node_reports()
        except Unavailable:
            # Which nodes there are is worth more than nothing.
            return {}


def _row(node: dict[str, Any], report: NodeReport | None) -> dict[str, Any]:
    facts = _node(node)
    vram = (gpu_bytes(node) or 0) * facts["gpu_count"]
    row = {"node_type": "Worker", "ip_address": node["NodeManagerAddress"], **facts, "gpu_vram_total": vram}
    if report is None:
        return row
    age_s = max(0.0, round(time.time() - report.measured_at, 1))
    return {**row, **_stats(report), "age_s": age_s, "software_version": report.version}


def _stats(report: NodeReport) -> dict[str, int | float | None]:
    """The fields of ``detailed=true``: the sums of memory over the GPUs, and their mean utilization, None without a GPU."""
    total = 0
    used = 0
    utilizations: list[int] = []
    for gpu in report.gpus:
        # A GPU that is split with MIG does not report its utilization, and is left out of all three.
        if gpu.utilization is None:
            continue
        total += gpu.memory_total or 0
        used += gpu.memory_used or 0
        utilizations.append(gpu.utilization)

    utilization = None
    if utilizations:
        utilization = sum(utilizations) / len(utilizations)
    return {
        "cpu_count": report.cpu_count,
        "cpu_available": round(report.cpu_count * (1 - report.cpu_percent / 100), 2),
        "mem_total": report.memory_total,
        "mem_used": report.memory_total - report.memory_available,
        "mem_available": report.memory_available,
        "gpu_vram_total": total,
        "gpu_vram_available": total - used,
        "gpu_utilization": utilization,
    }


def _models_on(node: dict[str, Any], models: list[ModelStatus]) -> dict[str, list[str]]:
    found: dict[str, list[ReplicaReport]] = {
        model.spec.uid: [r for r in model.replicas if node["NodeManagerAddress"] in r.nodes] for model in models
    }
    return {uid: [r.replica for r in replicas] for uid, replicas in found.items() if replicas}


def _without_gpus(row: dict[str, Any]) -> dict[str, Any]:
    nothing = {"gpu_count": 0, "gpu_vram_total": 0, "gpu_vram_available": 0, "gpu_utilization": None}
    return {name: value for name, value in nothing.items() if name in row}


def _alive() -> list[dict[str, Any]]:
    return nodes.living_nodes(ray.nodes())


def _node(node: dict[str, Any]) -> schemas.NodeStatus:
    resources = node["Resources"]
    return {
        "gpu_count": int(resources.get("GPU", 0)),
        "cpu_count": int(resources.get("CPU", 0)),
        "mem_total": int(resources.get("memory", 0)),
        "status": "alive",
    }
