"""REST: launch, list, describe, follow and terminate models."""

from __future__ import annotations

import asyncio

import ray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from supervisor import views
from supervisor.body import parse_object, read_body
from supervisor.launch import LaunchRequest, resolve
from supervisor.registry.client import ask
from supervisor.routes import Routes
from xinfer.errors import Conflict, LaunchCancelled, LaunchFailed, LaunchRefused, ModelNotFound
from xinfer.messages import ModelSpec, ModelState, Route
from xinfer.settings import GatewaySettings

_FALSE = ("false", "0", "no")


class ModelsApi:
    """Handlers of ``/v1/models``. What they change goes through the registry, what they show comes from the local table."""

    def __init__(self, settings: GatewaySettings, routes: Routes, *, allow_fake: bool) -> None:
        self._settings, self._routes, self._allow_fake = settings, routes, allow_fake

    def paths(self) -> list[Path]:
        """What this part serves."""
        return [
            Path("/v1/models", self.list, methods=["GET"]),
            Path("/v1/models", self.launch, methods=["POST"]),
            Path("/v1/models/instances", self.instances, methods=["GET"]),
            Path("/v1/models/{uid}", self.describe, methods=["GET"]),
            Path("/v1/models/{uid}", self.terminate, methods=["DELETE"]),
            Path("/v1/models/{uid}/progress", self.progress, methods=["GET"]),
            Path("/v1/models/{uid}/cancel", self.cancel, methods=["POST"]),
            Path("/v1/models/{uid}/replicas", self.replicas, methods=["GET"]),
        ]

    async def list(self, request: Request) -> Response:
        """Models that can be asked for an answer now."""
        ready = [route for route in self._routes.all.values() if route.state is ModelState.READY]
        return JSONResponse({"object": "list", "data": [views.list_item(route) for route in ready]})

    async def describe(self, request: Request) -> Response:
        """One model; 503 while it loads, as Xinference has it."""
        uid = request.path_params["uid"]
        self._routes.targets(uid)
        return JSONResponse(views.describe(self._routes.get(uid)))

    async def launch(self, request: Request) -> Response:
        """Launch a model; unless ``wait_ready=false``, answer when it has answered."""
        raw = await read_body(request.scope, request.receive, self._settings.max_body_bytes)
        asked = LaunchRequest.read(parse_object(raw))
        if asked.engine == "fake" and not self._allow_fake:
            raise LaunchRefused("The fake engine is for xinfer's own tests.", param="model_engine")
        has_gpus = ray.cluster_resources().get("GPU", 0) > 0
        spec = await asyncio.to_thread(resolve, asked, uids=self._taken(), cluster_has_gpus=has_gpus)
        await ask("launch", spec)
        await self._routes.wait_until(lambda table: _is(table, spec))
        if request.query_params.get("wait_ready", "true").lower() not in _FALSE:
            await self._until_ready(spec)
        return JSONResponse({"model_uid": spec.uid})

    async def terminate(self, request: Request) -> Response:
        """Take a model down; answers when its replicas are gone."""
        uid = request.path_params["uid"]
        route = self._known(uid)
        await ask("terminate", uid)
        await self._routes.wait_until(lambda table: table.get(uid) is not route)
        return JSONResponse(None)

    async def cancel(self, request: Request) -> Response:
        """Give up a launch that is under way."""
        uid = request.path_params["uid"]
        if self._known(uid).state is ModelState.READY:
            raise Conflict(f"The model {uid!r} is up; terminate it instead.")
        return await self.terminate(request)

    async def progress(self, request: Request) -> Response:
        """How far a launch has come."""
        return JSONResponse(views.progress(self._known(request.path_params["uid"])))

    async def replicas(self, request: Request) -> Response:
        """The replicas of one model."""
        return JSONResponse(views.replicas(self._known(request.path_params["uid"])))

    async def instances(self, request: Request) -> Response:
        """Every launch, failed ones included, filtered by ``model_name`` and ``model_uid``."""
        name, uid = request.query_params.get("model_name"), request.query_params.get("model_uid")
        chosen = [r for r in self._routes.all.values() if name in (None, r.spec.name) and uid in (None, r.spec.uid)]
        return JSONResponse([views.instance(route) for route in chosen])

    def _known(self, uid: str) -> Route:
        """The model in any state, a failed launch too."""
        route = self._routes.all.get(uid)
        if route is None:
            raise ModelNotFound(f"There is no model {uid[:100]!r}. GET /v1/models lists what runs.", param="model_uid")
        return route

    def _taken(self) -> set[str]:
        return {uid for uid, route in self._routes.all.items() if route.state is not ModelState.FAILED}

    async def _until_ready(self, spec: ModelSpec) -> None:
        await self._routes.wait_until(lambda table: not _is(table, spec) or _is_settled(table[spec.uid]))
        route = self._routes.all.get(spec.uid)
        if route is None or not _is(self._routes.all, spec) or route.state is ModelState.TERMINATING:
            raise LaunchCancelled(f"The launch of {spec.uid!r} was cancelled.")
        if route.state is ModelState.FAILED:
            raise LaunchFailed(f"The launch of {spec.uid!r} failed: {route.reason}")


def _is_settled(route: Route) -> bool:
    return route.is_complete or route.state in (ModelState.FAILED, ModelState.TERMINATING)


def _is(table: dict[str, Route], spec: ModelSpec) -> bool:
    """Whether the model under this UID is this very launch."""
    route = table.get(spec.uid)
    return route is not None and route.spec.created_at == spec.created_at
