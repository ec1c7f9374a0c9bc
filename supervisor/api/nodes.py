"""REST: the cluster's nodes, and taking them out of use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query

from supervisor.access.caller import Caller, visible
from supervisor.api.node_schemas import GpuOfNode, Node, NodeList, NodeLog, NodeLogLines, NodeState, ReplicaOnNode
from supervisor.api.parameters import Requester
from supervisor.api.schemas import Result
from supervisor.model_table import LiveTable
from supervisor.nodes import on_node as nodes
from supervisor.nodes.draining import drain
from supervisor.registry.client import RegistryClient
from xinfer.errors import Conflict, NotFound, Unavailable
from xinfer.messages import GpuReport, ModelStatus, NodeReport
from xinfer.names import RESERVED_LABELS
from xinfer.node_logs import LogLines

_LONGEST_SHOWN = 100
_LINES = 100
_REASON = "asked for through xinfer's API"


class NodesApi:
    """Handlers of ``/v1/nodes``. What nodes have comes from their agents' reports; no node is asked."""

    def __init__(self, models: LiveTable, registry: RegistryClient) -> None:
        self._models = models
        self._registry = registry

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route("/v1/nodes", self.list_nodes, methods=["GET"], summary="The nodes, and what runs on them.")
        routes.add_api_route("/v1/nodes/{node}", self.describe, methods=["GET"], summary="One node.")
        routes.add_api_route("/v1/nodes/{node}/log", self.log, methods=["GET"], summary="The end of a node's logs.")
        routes.add_api_route(
            "/v1/nodes/{node}/drain",
            self.drain,
            methods=["POST"],
            summary="Take a node out of use: its replicas move to others.",
        )
        routes.add_api_route(
            "/v1/nodes/{node}/undrain",
            self.undrain,
            methods=["POST"],
            summary="Have a drained node join the cluster anew.",
        )

    async def list_nodes(self, caller: Requester) -> NodeList:
        """Every living node, the head first, with the replicas of the models that the caller may use."""
        return {"object": "list", "data": await self._all(caller)}

    async def describe(self, node: str, caller: Requester) -> Node:
        """The node with this ID (or its beginning), address or hostname."""
        return find(node, await self._all(caller))

    async def log(
        self,
        node: str,
        lines: Annotated[int, Query(ge=1, le=nodes.MAX_LINES)] = _LINES,
        request_id: Annotated[str | None, Query(max_length=64)] = None,
    ) -> NodeLog:
        """The last ``lines`` of each log of the node but the engines', or those of supervisors and engines about a request."""
        found = find(node, await self._all())
        record = next(each for each in await nodes.alive() if each["NodeID"] == found["id"])
        if request_id:
            logs: list[LogLines] = await nodes.on_node(record, "lines_about", request_id)
        else:
            logs = await nodes.on_node(record, "last_lines", lines)
        shown: list[NodeLogLines] = [{"name": name, "lines": text} for name, text in logs]
        return {"id": found["id"], "address": found["address"], "logs": shown}

    async def drain(self, node: str) -> Node:
        """Place no replica there any more, and have those that are there started elsewhere, before they end here.

        Answers at once; the state is ``DRAINED`` when no replica is left. A replica for which no other node has room stays.
        """
        found = find(node, await self._all())
        if found["head"]:
            raise Conflict("The head cannot be drained: the registry and Ray's control plane run there.")
        if found["state"] == "READY":
            await asyncio.to_thread(drain, found["id"], _REASON)
        return find(found["id"], await self._all())

    async def undrain(self, node: str) -> Result:
        """Have a node that is ``DRAINED`` leave and join anew, with another ID; answers before it has, which takes seconds."""
        found = find(node, await self._all())
        if found["state"] == "DRAINING":
            raise Conflict(
                f"{len(found['replicas'])} replicas run on {found['address']} still, and Ray takes a draining node back only "
                "by starting it anew. Wait until it is DRAINED, or terminate them."
            )
        if found["state"] == "DRAINED":
            record = next(each for each in await nodes.alive() if each["NodeID"] == found["id"])
            await nodes.on_node(record, "rejoin")
        return {"result": True}

    async def _all(self, caller: Caller | None = None) -> list[Node]:
        alive, draining = await asyncio.gather(nodes.alive(), asyncio.to_thread(nodes.draining_nodes))
        try:
            reports = await self._registry.node_reports()
        except Unavailable:
            # Which nodes there are is worth more than nothing.
            reports = {}
        return views(
            alive,
            reports,
            draining,
            visible(self._models.all.values(), caller),
            head=nodes.head_address(),
            now=time.time(),
        )


def views(
    alive: Iterable[nodes.Node],
    reports: Mapping[str, NodeReport],
    draining: set[str],
    models: Iterable[ModelStatus],
    *,
    head: str,
    now: float,
) -> list[Node]:
    """The nodes as the API shows them at a Unix time: the one at the address ``head`` first, the others by address."""
    replicas: dict[str, list[ReplicaOnNode]] = {}
    for model in models:
        for report in model.replicas:
            for node in report.nodes:
                shown = ReplicaOnNode(model_uid=model.spec.uid, replica=report.replica)
                replicas.setdefault(node, []).append(shown)

    found = []
    for record in alive:
        here = replicas.get(record["NodeManagerAddress"], [])
        state: NodeState = "READY"
        if record["NodeID"] in draining:
            state = "DRAINING" if here else "DRAINED"
        found.append(_view(record, reports.get(record["NodeID"]), state, here, head=head, now=now))
    return sorted(found, key=lambda node: (not node["head"], node["address"]))


def find(name: str, among: Iterable[Node]) -> Node:
    """The node that ``name`` names; ``NotFound`` if none or several are meant."""
    every = list(among)
    by_name = [node for node in every if name in (node["id"], node["address"], node["hostname"])]
    # An ID is long, and its beginning is enough where no other begins so.
    matching = by_name or [node for node in every if node["id"].startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        addresses = ", ".join(node["address"] for node in matching)
        raise NotFound(f"{name[:_LONGEST_SHOWN]!r} are {len(matching)} nodes; name one by its address: {addresses}.")
    raise NotFound(f"No node is called {name[:_LONGEST_SHOWN]!r}. GET /v1/nodes lists them.")


def _view(
    record: nodes.Node,
    report: NodeReport | None,
    state: NodeState,
    replicas: list[ReplicaOnNode],
    *,
    head: str,
    now: float,
) -> Node:
    resources: Mapping[str, Any] = record["Resources"]
    labels = record.get("Labels") or {}
    view: Node = {
        "id": record["NodeID"],
        "address": record["NodeManagerAddress"],
        "hostname": record.get("NodeManagerHostname") or "",
        "head": record["NodeManagerAddress"] == head,
        "state": state,
        "labels": {name: value for name, value in labels.items() if not name.startswith(RESERVED_LABELS)},
        "num_gpus": float(resources.get("GPU", 0)),
        "replicas": replicas,
        "cpu": None,
        "memory": None,
        "disk": None,
        "gpus": [],
        "cached_models": [],
        "warm_host": None,
        "version": None,
        "versions": None,
        "age_s": None,
    }
    if report:
        view |= _measured(report, now)
    return view


def _measured(report: NodeReport, now: float) -> Any:
    return {
        "hostname": report.hostname,
        "cpu": {"count": report.cpu_count, "used_percent": report.cpu_percent},
        "memory": {
            "total": report.memory_total,
            "used": report.memory_total - report.memory_available,
            "available": report.memory_available,
        },
        "disk": {"total": report.disk_total, "free": report.disk_free},
        "gpus": list(map(_gpu, report.gpus)),
        "cached_models": list(report.cached_models),
        "warm_host": report.fork_server,
        "version": report.version,
        "versions": {
            "xinfer": report.version,
            "python": report.python,
            "ray": report.ray,
            "vllm": report.vllm,
        },
        "age_s": max(0.0, round(now - report.measured_at, 1)),
    }


def _gpu(gpu: GpuReport) -> GpuOfNode:
    # Not dataclasses.asdict, which copies each value: a large cluster has thousands.
    return {
        "index": gpu.index,
        "name": gpu.name,
        "memory_total": gpu.memory_total,
        "memory_used": gpu.memory_used,
        "utilization": gpu.utilization,
    }
