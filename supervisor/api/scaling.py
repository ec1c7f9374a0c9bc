"""REST: how the number of a model's replicas follows its load, and another number by hand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from supervisor.api.lookups import is_launch, known_model
from supervisor.api.parameters import JsonObject, WaitReady, describe_body
from supervisor.launching.autoscaling_request import AutoscalingRequest, as_json
from supervisor.launching.launch_request import read_fields
from supervisor.launching.scale_up import ScaleUp
from supervisor.model_table import LiveTable
from supervisor.registry.client import RegistryClient
from xinfer.errors import LaunchFailed, LaunchRefused
from xinfer.messages import ModelStatus, ScalingStatus


class ScaleRequest(BaseModel):
    """The body of ``POST /v1/models/{uid}/scale``: one of the two."""

    replicas: int | None = Field(None, ge=1, le=1024)
    autoscaling_config: AutoscalingRequest | Literal[False] | None = None


class Decision(TypedDict):
    """The desired number has changed, or could not; ``at`` is Unix time."""

    at: float
    before: int
    desired: int
    reason: str


class Scaling(TypedDict):
    """How a model is scaled; ``autoscaling_config`` is null for a number that was set by hand."""

    model_uid: str
    desired: int
    ready: int
    starting: int
    leaving: int
    min_replicas: int | None
    max_replicas: int | None
    autoscaling_config: dict[str, Any] | None
    blocked: str | None
    load: dict[str, Any]
    decisions: list[Decision]


class ScalingApi:
    """Handlers of ``/v1/models/{uid}/scale``."""

    def __init__(self, models: LiveTable, registry: RegistryClient) -> None:
        self._models = models
        self._registry = registry

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route(
            "/v1/models/{uid}/scale",
            self.show,
            methods=["GET"],
            summary="How a model is scaled, and the last decisions.",
        )
        routes.add_api_route(
            "/v1/models/{uid}/scale",
            self.scale,
            methods=["POST"],
            summary="Set the number of replicas, or how it follows the load.",
            openapi_extra=describe_body(ScaleRequest),
        )

    async def show(self, uid: str) -> Scaling:
        """Desired, ready, starting and leaving replicas, the latest measurement, and the last ten decisions."""
        model = known_model(self._models, uid)
        return _shown(uid, await self._registry.scaling(model.spec.uid))

    async def scale(self, uid: str, body: JsonObject, wait_ready: WaitReady = True) -> Scaling:
        """``replicas`` sets the number and ends autoscaling; ``autoscaling_config`` changes it, and ``false`` ends it.

        Unless ``wait_ready=false``, answers when additional replicas have answered; replicas that leave are not waited for.
        """
        asked = read_fields(ScaleRequest, body)
        model = known_model(self._models, uid)
        if (asked.replicas is None) == (asked.autoscaling_config is None):
            raise LaunchRefused("Give one of replicas and autoscaling_config.", param="replicas")
        if isinstance(asked.autoscaling_config, AutoscalingRequest):
            await self._configure(model, asked.autoscaling_config)
        elif asked.replicas is not None:
            await self._set(model, asked.replicas, wait_ready)
        else:
            await self._registry.autoscale(uid, None, model.spec.idle_timeout_s)
        return await self.show(uid)

    async def _configure(self, model: ModelStatus, asked: AutoscalingRequest) -> None:
        spec = asked.applied_to(model.spec)
        await self._registry.autoscale(spec.uid, spec.autoscaling, spec.idle_timeout_s)
        await self._models.wait_until_everywhere(
            lambda table: not is_launch(table, spec) or table[spec.uid].spec.autoscaling == spec.autoscaling
        )

    async def _set(self, model: ModelStatus, replicas: int, wait_ready: bool) -> None:
        uid = model.spec.uid
        more = replicas - model.desired
        await self._registry.scale(uid, replicas)
        # Only now: a number that is refused leaves autoscaling as it is.
        await self._registry.autoscale(uid, None, model.spec.idle_timeout_s)
        if more <= 0 or not wait_ready:
            return
        addition = ScaleUp(model, more)
        await self._models.wait_until(addition.is_noted)
        await self._models.wait_until_everywhere(addition.is_settled)
        failure = addition.failure(self._models.all)
        if failure:
            raise LaunchFailed(failure)


def _shown(uid: str, status: ScalingStatus) -> Scaling:
    return {
        "model_uid": uid,
        "desired": status.desired,
        "ready": status.ready,
        "starting": status.starting,
        "leaving": status.leaving,
        "min_replicas": status.min_replicas,
        "max_replicas": status.max_replicas,
        "autoscaling_config": as_json(status.config) if status.config else None,
        "blocked": status.blocked or None,
        "load": dict(status.load),
        "decisions": [Decision(**asdict(decision)) for decision in status.decisions],  # type: ignore[typeddict-item]
    }
