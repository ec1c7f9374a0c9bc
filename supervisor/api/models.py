"""REST: launch, list, describe, follow and terminate models."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import ray
from fastapi import APIRouter, Request

from supervisor.access.access import set_target
from supervisor.access.caller import caller_of, visible
from supervisor.access.launch_policy import check_launch, for_keys
from supervisor.api import render, schemas
from supervisor.api.launch_progress import progress
from supervisor.api.lookups import is_launch, known_model, load_catalog
from supervisor.api.parameters import JsonObject, Requester, WaitReady, describe_body
from supervisor.launching.launch_request import LaunchRequest, VersionRequest
from supervisor.launching.resolve import resolve
from supervisor.model_table import LiveTable
from supervisor.nodes import gpu_inventory as hardware
from supervisor.registry.client import RegistryClient
from xinfer.access_settings import AccessSettings
from xinfer.catalog.gpu_places import NodeGpus
from xinfer.errors import Conflict, LaunchCancelled, LaunchFailed, LaunchRefused
from xinfer.messages import SETTLED, Event, ModelSpec, ModelState, ModelStatus


class ModelsApi:
    """Handlers of ``/v1/models``. What they change goes through the registry, what they show comes from the local table."""

    def __init__(
        self, models: LiveTable, registry: RegistryClient, *, allow_fake: bool, access: AccessSettings | None = None
    ) -> None:
        self._models = models
        self._registry = registry
        self._allow_fake = allow_fake
        self._access = access

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route(
            "/v1/models", self.list_models, methods=["GET"], summary="Models that can be used, asleep or awake."
        )
        routes.add_api_route(
            "/v1/models",
            self.launch,
            methods=["POST"],
            summary="Launch a model.",
            openapi_extra=describe_body(LaunchRequest),
        )
        routes.add_api_route("/v1/models/instances", self.instances, methods=["GET"], summary="Models and launches.")
        routes.add_api_route(
            "/v1/models/instance",
            self.launch_version,
            methods=["POST"],
            summary="Launch by a version.",
            openapi_extra=describe_body(VersionRequest),
        )
        routes.add_api_route("/v1/models/{uid}", self.describe, methods=["GET"], summary="Describe a model.")
        routes.add_api_route("/v1/models/{uid}", self.terminate, methods=["DELETE"], summary="Terminate a model.")
        routes.add_api_route(
            "/v1/models/{uid}/progress", self.progress, methods=["GET"], summary="The progress of a launch."
        )
        routes.add_api_route("/v1/models/{uid}/cancel", self.cancel, methods=["POST"], summary="Cancel a launch.")
        routes.add_api_route(
            "/v1/models/{uid}/sleep",
            self.sleep,
            methods=["POST"],
            summary="Have a model sleep until a request needs it.",
        )
        routes.add_api_route("/v1/models/{uid}/wake", self.wake, methods=["POST"], summary="Wake a sleeping model.")
        routes.add_api_route(
            "/v1/models/{uid}/events",
            self.events,
            methods=["GET"],
            summary="What has happened to a model, oldest first.",
        )

    async def list_models(self, caller: Requester) -> schemas.ModelList:
        """Models that can be asked for an answer now; those that sleep wake first."""
        answering = [model for model in visible(self._models.all.values(), caller) if model.is_served]
        return {"object": "list", "data": [render.describe(model) for model in answering]}

    async def describe(self, uid: str) -> schemas.Described:
        """One model; 503 while it loads, as Xinference has it, but not while it wakes."""
        model = self._models.get(uid)
        if not model.is_served:
            # Raises ModelLoading or Unavailable, with the reason.
            self._models.targets(uid)
        return render.describe(model)

    async def launch(self, request: Request, body: JsonObject, wait_ready: WaitReady = True) -> schemas.ModelUid:
        """Launch a model; unless ``wait_ready=false``, answer when it has answered."""
        return await self._launch(request, body, wait_ready)

    async def launch_version(
        self, request: Request, body: JsonObject, wait_ready: WaitReady = True
    ) -> schemas.ModelUid:
        """Launch what one ``model_version`` names."""
        return await self._launch(request, VersionRequest.read(body).as_launch(), wait_ready)

    async def terminate(self, uid: str) -> None:
        """Take a model down; answers when its replicas are gone."""
        model = known_model(self._models, uid)
        await self._registry.terminate(model.spec.uid)
        await self._models.wait_until_everywhere(lambda table: not is_launch(table, model.spec))

    async def cancel(self, uid: str) -> None:
        """Give up a launch that is under way; answers when nothing of it is left."""
        model = known_model(self._models, uid)
        if model.is_asleep or model.state is ModelState.READY:
            raise Conflict(f"The model {model.spec.uid!r} is up; terminate it instead.")
        await self._registry.cancel(model.spec.uid)
        await self._models.wait_until_everywhere(
            lambda t: not is_launch(t, model.spec) or t[model.spec.uid].state in SETTLED
        )

    async def sleep(self, uid: str) -> None:
        """Have a model that is up give its resources back; answers when it sleeps, 409 if it is not up or is in use."""
        model = known_model(self._models, uid)
        if not await self._registry.sleep(model.spec.uid):
            raise Conflict(f"The model {uid!r} is in use; it can sleep when no request is under way.")

    async def wake(self, uid: str) -> None:
        """Begin to bring a sleeping model up, as a request would; ``/progress`` tells how far it is."""
        model = known_model(self._models, uid)
        refusal = await self._registry.wake(model.spec.uid)
        if refusal:
            raise Conflict(refusal)

    async def progress(self, uid: str) -> schemas.Progress:
        """How far a launch has come."""
        model = await self._models.with_progress(known_model(self._models, uid))
        return progress(model, time.time(), await _gpus_free(model))

    async def instances(
        self, caller: Requester, model_name: str | None = None, model_uid: str | None = None
    ) -> list[schemas.Instance]:
        """Every launch, failed ones included and cancelled ones not, filtered by ``model_name`` and ``model_uid``."""
        shown = [
            model for model in visible(self._models.all.values(), caller) if model.state is not ModelState.CANCELLED
        ]
        named = [model for model in shown if model_name in (None, model.spec.name)]
        chosen = [model for model in named if model_uid in (None, model.spec.uid)]
        return [render.instance(model, await _gpus_free(model)) for model in chosen]

    async def events(self, uid: str) -> list[schemas.EventReply]:
        """What has happened to a model lately, also to one that is gone."""
        happened: list[Event] = await self._registry.events(uid)
        if not happened:
            known_model(self._models, uid)
        return [render.event(each) for each in happened]

    async def _launch(self, request: Request, body: dict[str, Any], wait_ready: bool) -> schemas.ModelUid:
        asked = LaunchRequest.read(body)
        caller = caller_of(request.scope)
        set_target(request.scope, str(asked.model_uid or asked.model_name or asked.model_path))
        check_launch(
            caller,
            self._access,
            model_path=asked.model_path,
            variables=asked.envs or {},
            engine_args=asked.engine_args,
            trust_remote_code=bool(asked.trust_remote_code),
        )
        if asked.engine == "fake" and not self._allow_fake:
            raise LaunchRefused("The fake engine is for xinfer's own tests.", param="model_engine")
        nodes = await self._nodes_for(asked)
        catalog = await load_catalog(self._models)
        spec = await asyncio.to_thread(resolve, asked, uids=self._taken(), nodes=nodes, catalog=catalog)
        if caller:
            caller.check_model(spec.uid)
            spec = for_keys(spec)
        await self._registry.launch(spec)
        await self._models.wait_until_everywhere(lambda table: is_launch(table, spec))
        if wait_ready:
            await self._until_ready(spec)
        if spec.chosen_because:
            return {"model_uid": spec.uid, "why": spec.chosen_because}
        return {"model_uid": spec.uid}

    async def _nodes_for(self, asked: LaunchRequest) -> list[NodeGpus]:
        """What a launch chooses its model by; nothing where the nodes are yet to come."""
        if asked.wait_for_capacity:
            return []
        models = list(self._models.all.values())
        return await asyncio.to_thread(hardware.gpu_inventory, models, asked.node, asked.node_labels or {})

    def _taken(self) -> set[str]:
        return {uid for uid, model in self._models.all.items() if model.state not in SETTLED}

    async def _until_ready(self, spec: ModelSpec) -> None:
        await self._models.wait_until_everywhere(
            lambda table: not is_launch(table, spec) or _is_settled(table[spec.uid])
        )
        model = self._models.all.get(spec.uid)
        if model is None or not is_launch(self._models.all, spec) or _was_cancelled(model):
            raise LaunchCancelled(f"The launch of {spec.uid!r} was cancelled.")
        if model.state is ModelState.FAILED:
            raise LaunchFailed(f"The launch of {spec.uid!r} failed: {model.reason}")


def _is_settled(model: ModelStatus) -> bool:
    return model.is_complete or model.is_asleep or model.state in (*SETTLED, ModelState.TERMINATING)


def _was_cancelled(model: ModelStatus) -> bool:
    return model.state in (ModelState.CANCELLED, ModelState.TERMINATING)


async def _gpus_free(model: ModelStatus) -> float | None:
    """The GPUs that nobody has, if some replica waits for one."""
    waits = model.is_degraded or model.state in (ModelState.PENDING, ModelState.LAUNCHING)
    if not waits or not model.spec.gpus or len(model.replicas) >= model.spec.replicas:
        return None
    free: dict[str, float] = await asyncio.to_thread(ray.available_resources)
    return free.get("GPU", 0.0)
