"""REST: launch, list, describe, follow and terminate models."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import ray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from supervisor import hardware, views
from supervisor.body import parse_object, read_body
from supervisor.catalog_api import load
from supervisor.launch import LaunchRequest, resolve
from supervisor.launch_by_version import VersionRequest
from supervisor.progress import progress
from supervisor.registry.client import ask
from supervisor.routes import Routes
from xinfer.errors import Conflict, LaunchCancelled, LaunchFailed, LaunchRefused, ModelNotFound, NotFound
from xinfer.messages import SETTLED, Event, ModelSpec, ModelState, Route
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
        answering = [route for route in self._routes.all.values() if route.is_served]
        return JSONResponse({"object": "list", "data": [views.list_item(route) for route in answering]})

    async def describe(self, request: Request) -> Response:
        """One model; 503 while it loads, as Xinference has it, but not while it wakes."""
        uid = request.path_params["uid"]
        route = self._routes.get(uid)
        if not route.is_served:
            self._routes.targets(uid)
        return JSONResponse(views.describe(route))

    async def launch(self, request: Request) -> Response:
        """Launch a model; unless ``wait_ready=false``, answer when it has answered."""
        return await self._launch(request, await self._body(request))

    async def launch_version(self, request: Request) -> Response:
        """Launch what one ``model_version`` names."""
        return await self._launch(request, VersionRequest.read(await self._body(request)).as_launch())

    async def terminate(self, request: Request) -> Response:
        """Take a model down; answers when its replicas are gone."""
        route = known(self._routes, request.path_params["uid"])
        await ask("terminate", route.spec.uid)
        await self._routes.wait_until(lambda table: not is_launch(table, route.spec))
        return JSONResponse(None)

    async def cancel(self, request: Request) -> Response:
        """Give up a launch that is under way; answers when nothing of it is left."""
        route = known(self._routes, request.path_params["uid"])
        if route.state in (ModelState.READY, ModelState.SLEEPING):
            raise Conflict(f"The model {route.spec.uid!r} is up; terminate it instead.")
        await ask("cancel", route.spec.uid)
        await self._routes.wait_until(lambda t: not is_launch(t, route.spec) or t[route.spec.uid].state in SETTLED)
        return JSONResponse(None)

    async def progress(self, request: Request) -> Response:
        """How far a launch has come."""
        route = known(self._routes, request.path_params["uid"])
        return JSONResponse(progress(route, time.time(), await _gpus_free(route)))

    async def instances(self, request: Request) -> Response:
        """Every launch, failed ones included and cancelled ones not, filtered by ``model_name`` and ``model_uid``."""
        name, uid = request.query_params.get("model_name"), request.query_params.get("model_uid")
        shown = [route for route in self._routes.all.values() if route.state is not ModelState.CANCELLED]
        chosen = [r for r in shown if name in (None, r.spec.name) and uid in (None, r.spec.uid)]
        return JSONResponse([views.instance(route) for route in chosen])

    async def events(self, request: Request) -> Response:
        """What has happened to a model lately, also to one that is gone."""
        uid = request.path_params["uid"]
        happened: list[Event] = await ask("events", uid)
        if not happened:
            known(self._routes, uid)
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
        nodes = await asyncio.to_thread(hardware.look, list(self._routes.all.values()))
        catalog = await load(self._routes)
        spec = await asyncio.to_thread(resolve, asked, uids=self._taken(), nodes=nodes, catalog=catalog)
        await ask("launch", spec)
        await self._routes.wait_until(lambda table: is_launch(table, spec))
        if waits(request):
            await self._until_ready(spec)
        return JSONResponse({"model_uid": spec.uid, **({"why": spec.chosen_because} if spec.chosen_because else {})})

    def _taken(self) -> set[str]:
        return {uid for uid, route in self._routes.all.items() if route.state not in SETTLED}

    async def _until_ready(self, spec: ModelSpec) -> None:
        await self._routes.wait_until(lambda table: not is_launch(table, spec) or _is_settled(table[spec.uid]))
        route = self._routes.all.get(spec.uid)
        if route is None or not is_launch(self._routes.all, spec) or _was_cancelled(route):
            raise LaunchCancelled(f"The launch of {spec.uid!r} was cancelled.")
        if route.state is ModelState.FAILED:
            raise LaunchFailed(f"The launch of {spec.uid!r} failed: {route.reason}")


def known(routes: Routes, uid: str) -> Route:
    """The model in any state, a failed launch too."""
    route = routes.all.get(uid)
    if route is None:
        raise ModelNotFound(f"There is no model {uid[:100]!r}. GET /v1/models lists what runs.", param="model_uid")
    return route


def waits(request: Request) -> bool:
    """Whether the caller wants the answer when everything is up, as by default, and not at once."""
    return request.query_params.get("wait_ready", "true").lower() not in _FALSE


def is_launch(table: dict[str, Route], spec: ModelSpec) -> bool:
    """Whether the model under this UID is of this very launch."""
    route = table.get(spec.uid)
    return route is not None and route.spec.created_at == spec.created_at


def _is_settled(route: Route) -> bool:
    return route.is_complete or route.state in (*SETTLED, ModelState.SLEEPING, ModelState.TERMINATING)


def _was_cancelled(route: Route) -> bool:
    return route.state in (ModelState.CANCELLED, ModelState.TERMINATING)


async def _gpus_free(route: Route) -> float | None:
    """The GPUs that nobody has, if some replica waits for one."""
    if route.state is not ModelState.LAUNCHING or not route.spec.gpus or len(route.replicas) >= route.spec.replicas:
        return None
    free: dict[str, float] = await asyncio.to_thread(ray.available_resources)
    return free.get("GPU", 0.0)
