"""REST: the replicas of a model, more of them, and the logs of their engines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from supervisor.api import render, schemas
from supervisor.api.lookups import is_launch, known_model
from supervisor.api.parameters import OptionalJsonObject, WaitReady, describe_body
from supervisor.launching.launch_request import read_fields
from supervisor.launching.scale_up import ScaleUp
from supervisor.model_table import LiveTable
from supervisor.nodes.on_node import MAX_LINES, read_log
from supervisor.registry.client import RegistryClient
from xinfer.errors import Conflict, LaunchFailed, LaunchRefused, NotFound
from xinfer.messages import ModelSpec, ModelState, ModelStatus, ReplicaReport

_LINES = 100


class ReplicaRequest(BaseModel):
    """The body of ``POST /v1/models/{uid}/replicas`` as Xinference's client sends it."""

    model_config = ConfigDict(protected_namespaces=())

    replica: int | None = Field(1, ge=1, le=1024)
    replica_config: Any = None
    model_engine: str | None = None
    n_gpu: int | float | str | None = None

    @classmethod
    def read(cls, body: dict[str, Any]) -> ReplicaRequest:
        """Check ``body``; ``LaunchRefused`` names the first field that is wrong."""
        return read_fields(cls, body)

    def check(self, spec: ModelSpec) -> None:
        """``LaunchRefused`` if it asks for replicas unlike the model's own: all are alike."""
        if self.replica_config:
            raise LaunchRefused("replica_config is not supported by xinfer; leave it out.", param="replica_config")
        if self.model_engine and self.model_engine.lower() != spec.engine:
            raise LaunchRefused(f"The replicas of {spec.uid!r} run on {spec.engine}.", param="model_engine")
        if self.n_gpu not in (None, "auto", spec.gpus, f"{spec.gpus:g}"):
            raise LaunchRefused(f"The replicas of {spec.uid!r} have {spec.gpus:g} GPUs each.", param="n_gpu")


class ReplicasApi:
    def __init__(self, models: LiveTable, registry: RegistryClient) -> None:
        self._models = models
        self._registry = registry
        self._adding = asyncio.Lock()

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route(
            "/v1/models/{uid}/replicas", self.list_replicas, methods=["GET"], summary="The replicas of a model."
        )
        routes.add_api_route(
            "/v1/models/{uid}/replicas",
            self.add,
            methods=["POST"],
            summary="Add replicas.",
            openapi_extra=describe_body(ReplicaRequest, required=False),
        )
        routes.add_api_route(
            "/v1/models/{uid}/replicas/{replica_id:int}", self.remove, methods=["DELETE"], summary="Remove a replica."
        )
        routes.add_api_route("/v1/models/{uid}/log", self.log, methods=["GET"], summary="The end of its engines' logs.")

    async def list_replicas(self, uid: str) -> list[schemas.ReplicaStatus]:
        return render.replicas(known_model(self._models, uid))

    async def add(
        self, uid: str, body: OptionalJsonObject, wait_ready: WaitReady = True
    ) -> schemas.AddedReplica | schemas.AddedReplicas:
        """More replicas of one model; unless ``wait_ready=false``, answers when they have answered."""
        addition = await self._begin(uid, ReplicaRequest.read(body))
        if wait_ready:
            await self._models.wait_until_everywhere(addition.is_settled)
        failure = addition.failure(self._models.all)
        if failure:
            raise LaunchFailed(failure)
        added: schemas.AddedReplica | schemas.AddedReplicas = addition.reply(self._models.all)  # type: ignore[assignment]
        return added

    async def remove(self, uid: str, replica_id: int) -> schemas.RemainingReplicas:
        """One replica less, the least busy one; answers when it has finished and is gone. With the last one the model goes."""
        async with self._adding:
            left = await self._remove(uid, replica_id)
        return {"remaining_replicas": left}

    async def log(self, uid: str, lines: Annotated[int, Query(ge=1, le=MAX_LINES)] = _LINES) -> schemas.ModelLog:
        """The end of the log of each engine that runs, or of the one whose end was the launch's."""
        reports = with_followers(await self._registry.logs(uid))
        texts = await asyncio.gather(*(read_log(report, lines) for report in reports))
        replicas: list[schemas.ReplicaLog] = [
            {"replica_uid": report.replica, "lines": text} for report, text in zip(reports, texts, strict=True)
        ]
        return {"model_uid": uid, "replicas": replicas}

    async def _remove(self, uid: str, number: int) -> int:
        before = self._models.get(uid)
        spec, left = before.spec, before.desired - 1
        if before.state is not ModelState.READY:
            raise Conflict(f"The model {uid!r} is not up ({before.state.lower()}); terminate it, or wait until it is.")
        if not 0 <= number <= left:
            raise NotFound(f"The model {uid!r} has no replica {number}; it has {left + 1}, counted from 0.")
        if left:
            await self._registry.scale(uid, left)
        else:
            await self._registry.terminate(uid)
        await self._models.wait_until_everywhere(
            lambda table: not is_launch(table, spec) or _has_only(table[uid], left)
        )
        return left

    async def _begin(self, uid: str, asked: ReplicaRequest) -> ScaleUp:
        """The registry is told a total, so that two callers have to come one after the other."""
        async with self._adding:
            before = self._models.get(uid)
            asked.check(before.spec)
            addition = ScaleUp(before, asked.replica or 1)
            await self._registry.scale(uid, addition.total)
            await self._models.wait_until_everywhere(addition.is_noted)
            return addition


def with_followers(reports: Iterable[ReplicaReport]) -> list[ReplicaReport]:
    """The reports, and one for each further worker of a replica that spans nodes, which has a log of its own."""
    every: list[ReplicaReport] = []
    for report in reports:
        every.append(report)
        for follower in report.followers:
            name = f"{report.replica}-worker{follower.rank}"
            every.append(replace(report, replica=name, node=follower.node, log=follower.log, followers=()))
    return every


def _has_only(model: ModelStatus, count: int) -> bool:
    return model.spec.replicas <= count and len(model.targets) <= count
