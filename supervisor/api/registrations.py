"""REST: the families that can be launched, and more of them registered by users."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from supervisor.api import render_families as family_views
from supervisor.api.catalog import check_type, load, named
from supervisor.gateway.request_body import parse_object, read_body
from supervisor.launching.launch import check_engine_args
from supervisor.model_table import LiveTable
from supervisor.registry.client import RegistryClient
from xinfer.catalog import Catalog, Family
from xinfer.catalog.registration import read_family
from xinfer.catalog.suggestion import suggest
from xinfer.errors import FamilyRefused, InvalidBody, LaunchRefused
from xinfer.messages import Registration
from xinfer.settings import GatewaySettings

_MEMORY_SHARE = "gpu_memory_utilization"
M = TypeVar("M", bound=BaseModel)


class RegistrationRequest(BaseModel):
    """The body of ``POST /v1/model_registrations/LLM`` as Xinference's clients send it; ``model`` may be an object as well."""

    model: str | dict[str, Any]
    persist: bool = True
    worker_ip: str | None = None


class SuggestionRequest(BaseModel):
    model_config = {"protected_namespaces": ()}

    model_path: str
    model_family: str | None = None


class RegistrationsApi:
    """Handlers of ``/v1/model_registrations``. An answer comes when this supervisor's own catalog is as it says."""

    def __init__(self, settings: GatewaySettings, models: LiveTable, registry: RegistryClient) -> None:
        self._settings = settings
        self._models = models
        self._registry = registry

    def paths(self) -> list[Path]:
        return [
            Path("/v1/model_registrations/{type}", self.list, methods=["GET"]),
            Path("/v1/model_registrations/{type}", self.register, methods=["POST"]),
            Path("/v1/model_registrations/{type}/{name}", self.get, methods=["GET"]),
            Path("/v1/model_registrations/{type}/{name}", self.unregister, methods=["DELETE"]),
            Path("/v1/models/llm/auto-register", self.suggest, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """Every family, in full with ``detailed=true``."""
        check_type(request)
        found = (await load(self._models)).families.values()
        if request.query_params.get("detailed", "false").lower() != "true":
            return JSONResponse([family_views.brief(family) for family in found])
        return JSONResponse(await asyncio.to_thread(lambda: [family_views.full(family) for family in found]))

    async def get(self, request: Request) -> Response:
        check_type(request)
        family = await named(self._models, request)
        return JSONResponse(await asyncio.to_thread(family_views.full, family))

    async def register(self, request: Request) -> Response:
        """Take a family into the catalog of the whole cluster."""
        check_type(request)
        asked = _read(RegistrationRequest, await self._body(request))
        if asked.worker_ip:
            raise InvalidBody("A family is known to the whole cluster; leave worker_ip out.", param="worker_ip")
        family = await asyncio.to_thread(_checked, asked.model, await load(self._models))
        text = family.model_dump_json(exclude_defaults=True)
        await self._models.wait_for_version(
            await self._registry.register(Registration(family.name, text, asked.persist))
        )
        return JSONResponse(None)

    async def unregister(self, request: Request) -> Response:
        """Take a registered family out of it. Models of it that run go on."""
        check_type(request)
        family = await named(self._models, request)
        if family_views.is_builtin(family):
            raise FamilyRefused(f"{family.name} comes with xinfer and stays.", param="model_name")
        await self._models.wait_for_version(await self._registry.unregister(family.name))
        return JSONResponse(None)

    async def suggest(self, request: Request) -> Response:
        """What to register for the model in a folder of this machine."""
        asked = _read(SuggestionRequest, await self._body(request))
        return JSONResponse(await asyncio.to_thread(suggest, asked.model_path, asked.model_family))

    async def _body(self, request: Request) -> dict[str, Any]:
        return parse_object(await read_body(request.scope, request.receive, self._settings.max_body_bytes))


def _read(kind: type[M], body: dict[str, Any]) -> M:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise InvalidBody(f"{field}: {first['msg']}.", param=field) from None


def _checked(model: str | dict[str, Any], catalog: Catalog) -> Family:
    """The family described, which may be added to ``catalog``; ``FamilyRefused`` otherwise. Looks for its folders."""
    family = read_family(model, catalog)
    taken = catalog.find(family.name)
    if taken:
        if family_views.is_builtin(taken):
            whose = "comes with xinfer"
        else:
            whose = "is registered already"
        raise FamilyRefused(f"model_name: {taken.name!r} {whose}; choose another name.", param="model_name")
    try:
        names = check_engine_args(family.engine_args)
    except LaunchRefused as error:
        raise FamilyRefused(f"engine_args: {error.message}", param="engine_args") from None
    if any(_MEMORY_SHARE.startswith(name) for name in names):  # vLLM takes beginnings of names
        raise FamilyRefused(f"engine_args: {_MEMORY_SHARE} is for a launch to say; leave it out.", param="engine_args")
    return family
