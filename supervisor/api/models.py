"""REST: launch, list, describe, follow and terminate models."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import ray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from supervisor.api import render as views
from supervisor.api.catalog import load
from supervisor.api.launch_progress import progress
from supervisor.gateway.request_body import parse_object, read_body
from supervisor.launching import gpu_inventory as hardware
from supervisor.launching.launch import LaunchRequest, resolve
from supervisor.launching.launch_by_version import VersionRequest
from supervisor.model_table import LiveTable
from supervisor.registry.client import RegistryClient
from xinfer.errors import Conflict, LaunchCancelled, LaunchFailed, LaunchRefused, ModelNotFound, NotFound
from xinfer.messages import SETTLED, Event, ModelSpec, ModelState, ModelStatus
from xinfer.settings import GatewaySettings

_FALSE = ("false", "0", "no")


class ModelsApi:
    """Handlers of ``/v1/models``. What they change goes through the registry, what they show comes from the local table."""

    def __init__(
        self, settings: GatewaySettings, models: LiveTable, registry: RegistryClient, *, allow_fake: bool
    ) -> None:
        self._settings = settings
        self._models = models
        self._registry = registry
        self._allow_fake = allow_fake

    def paths(self) -> list[Path]:
        return [
            Path("/v1/models", self.list, methods=["GET"]),
            Path("/v1/models", self.launch, methods=["POST"]),
            Path("/v1/models/instances", self.instances, methods=["GET"]),
            Path("/v1/models/instance", self.launch_version, methods=["POST"]),
            Path("/v1/models/{uid}", self.describe, methods=["GET"]),
            Path("/v1/models/{uid}", self.terminate, methods=["DELETE"]),
            Path("/v1/models/{uid}/progress", self.progress, methods=["GET"]),
            Path("/v1/models/{uid}/cancel", self.cancel, methods=["POST"]),
            Path("/v1/models/{uid}/events", self.events, methods=["GET"]),
            Path("/v1/requests/{request_id}/progress", self.request_progress, methods=["GET"]),
        ]

    async def list(self, request: Request) -> Response:
        """Models that can be asked for an answer now; those that sleep wake first."""
        answering = [model for model in self._models.all.values() if model.is_served]
        return JSONResponse({"object": "list", "data": [views.list_item(model) for model in answering]})

    async def describe(self, request: Request) -> Response:
        """One model; 503 while it loads, as Xinference has it, but not while it wakes."""
        uid = request.path_params["uid"]
        model = self._models.get(uid)
        if not model.is_served:
            self._models.targets(uid)
        return JSONResponse(views.describe(model))

    async def launch(self, request: Request) -> Response:
        """Launch a model; unless ``wait_ready=false``, answer when it has answered."""
        return await self._launch(request, await self._body(request))

    async def launch_version(self, request: Request) -> Response:
        return await self._launch(request, VersionRequest.read(await self._body(request)).as_launch())

    async def terminate(self, request: Request) -> Response:
        """Take a model down; answers when its replicas are gone."""
        model = known(self._models, request.path_params["uid"])
        await self._registry.terminate(model.spec.uid)
        await self._models.wait_until(lambda table: not is_launch(table, model.spec))
        return JSONResponse(None)

    async def cancel(self, request: Request) -> Response:
        """Give up a launch that is under way; answers when nothing of it is left."""
        model = known(self._models, request.path_params["uid"])
        if model.is_asleep or model.state is ModelState.READY:
            raise Conflict(f"The model {model.spec.uid!r} is up; terminate it instead.")
        await self._registry.cancel(model.spec.uid)
        await self._models.wait_until(lambda t: not is_launch(t, model.spec) or t[model.spec.uid].state in SETTLED)
        return JSONResponse(None)

    async def progress(self, request: Request) -> Response:
        """How far a launch has come."""
        model = known(self._models, request.path_params["uid"])
        model = await self._models.with_progress(model)
        return JSONResponse(progress(model, time.time(), await _gpus_free(model)))

    async def instances(self, request: Request) -> Response:
        """Every launch, failed ones included and cancelled ones not, filtered by ``model_name`` and ``model_uid``."""
        name = request.query_params.get("model_name")
        uid = request.query_params.get("model_uid")
        shown = [model for model in self._models.all.values() if model.state is not ModelState.CANCELLED]
        chosen = [r for r in shown if name in (None, r.spec.name) and uid in (None, r.spec.uid)]
        return JSONResponse([views.instance(model) for model in chosen])

    async def events(self, request: Request) -> Response:
        """What has happened to a model lately, also to one that is gone."""
        uid = request.path_params["uid"]
        happened: list[Event] = await self._registry.events(uid)
        if not happened:
            known(self._models, uid)
        return JSONResponse([views.event(each) for each in happened])

    async def request_progress(self, request: Request) -> Response:
        """Of a picture or a film, in Xinference; there are none here."""
        raise NotFound(
            "Only image and video jobs have a progress, and xinfer has none; an answer's progress is its stream."
        )

    async def _body(self, request: Request) -> dict[str, Any]:
        return parse_object(await read_body(request.scope, request.receive, self._settings.max_body_bytes))

    async def _launch(self, request: Request, body: dict[str, Any]) -> Response:
        asked = LaunchRequest.read(body)
        if asked.engine == "fake" and not self._allow_fake:
            raise LaunchRefused("The fake engine is for xinfer's own tests.", param="model_engine")
        nodes = await asyncio.to_thread(hardware.look, list(self._models.all.values()))
        catalog = await load(self._models)
        spec = await asyncio.to_thread(resolve, asked, uids=self._taken(), nodes=nodes, catalog=catalog)
        await self._registry.launch(spec)
        await self._models.wait_until(lambda table: is_launch(table, spec))
        if waits(request):
            await self._until_ready(spec)
        return JSONResponse({"model_uid": spec.uid, **({"why": spec.chosen_because} if spec.chosen_because else {})})

    def _taken(self) -> set[str]:
        return {uid for uid, model in self._models.all.items() if model.state not in SETTLED}

    async def _until_ready(self, spec: ModelSpec) -> None:
        await self._models.wait_until(lambda table: not is_launch(table, spec) or _is_settled(table[spec.uid]))
        model = self._models.all.get(spec.uid)
        if model is None or not is_launch(self._models.all, spec) or _was_cancelled(model):
            raise LaunchCancelled(f"The launch of {spec.uid!r} was cancelled.")
        if model.state is ModelState.FAILED:
            raise LaunchFailed(f"The launch of {spec.uid!r} failed: {model.reason}")


def known(models: LiveTable, uid: str) -> ModelStatus:
    """The model in any state, a failed launch too."""
    model = models.all.get(uid)
    if model is None:
        raise ModelNotFound(f"There is no model {uid[:100]!r}. GET /v1/models lists what runs.", param="model_uid")
    return model


def waits(request: Request) -> bool:
    """Whether the caller wants the answer when everything is up, as by default, and not at once."""
    return request.query_params.get("wait_ready", "true").lower() not in _FALSE


def is_launch(table: dict[str, ModelStatus], spec: ModelSpec) -> bool:
    """Whether the model under this UID is of this very launch."""
    model = table.get(spec.uid)
    return model is not None and model.spec.created_at == spec.created_at


def _is_settled(model: ModelStatus) -> bool:
    return model.is_complete or model.is_asleep or model.state in (*SETTLED, ModelState.TERMINATING)


def _was_cancelled(model: ModelStatus) -> bool:
    return model.state in (ModelState.CANCELLED, ModelState.TERMINATING)


async def _gpus_free(model: ModelStatus) -> float | None:
    """The GPUs that nobody has, if some replica waits for one."""
    if model.state is not ModelState.LAUNCHING or not model.spec.gpus or len(model.replicas) >= model.spec.replicas:
        return None
    free: dict[str, float] = await asyncio.to_thread(ray.available_resources)
    return free.get("GPU", 0.0)
