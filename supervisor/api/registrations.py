"""REST: the families that can be launched, and more of them registered by users."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from supervisor.api import render_families
from supervisor.api.lookups import find_family, load_catalog
from supervisor.api.parameters import Detailed, JsonObject, ModelType, describe_body, validate
from supervisor.api.render_families import BriefRegistration, RegistrationReply
from supervisor.launching.launch_request import check_engine_args
from supervisor.model_table import LiveTable
from supervisor.registry.client import RegistryClient
from xinfer.catalog import Catalog, Family
from xinfer.catalog.registration import read_family
from xinfer.catalog.suggestion import suggest
from xinfer.engine_args import gives_any
from xinfer.errors import FamilyRefused, InvalidBody, LaunchRefused
from xinfer.messages import Registration

_MEMORY_SHARE = "gpu_memory_utilization"


class RegistrationRequest(BaseModel):
    """The body of ``POST /v1/model_registrations/LLM`` as Xinference's clients send it; ``model`` may be an object as well."""

    model: str | dict[str, Any]
    persist: bool = True
    worker_ip: str | None = None


class SuggestionRequest(BaseModel):
    """The body of ``POST /v1/models/llm/auto-register``."""

    model_config = {"protected_namespaces": ()}

    model_path: str
    model_family: str | None = None


class RegistrationsApi:
    """Handlers of ``/v1/model_registrations``. An answer comes when this supervisor's own catalog is as it says."""

    def __init__(self, models: LiveTable, registry: RegistryClient) -> None:
        self._models = models
        self._registry = registry

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route(
            "/v1/model_registrations/{type}",
            self.list_families,
            methods=["GET"],
            summary="The families.",
            response_model=list[RegistrationReply | BriefRegistration],
        )
        routes.add_api_route(
            "/v1/model_registrations/{type}",
            self.register,
            methods=["POST"],
            summary="Register a family.",
            openapi_extra=describe_body(RegistrationRequest),
        )
        routes.add_api_route(
            "/v1/model_registrations/{type}/{name}", self.get, methods=["GET"], summary="One family in full."
        )
        routes.add_api_route(
            "/v1/model_registrations/{type}/{name}",
            self.unregister,
            methods=["DELETE"],
            summary="Remove a registered family.",
        )
        routes.add_api_route(
            "/v1/models/llm/auto-register",
            self.suggest,
            methods=["POST"],
            summary="What to register for a folder.",
            openapi_extra=describe_body(SuggestionRequest),
        )

    async def list_families(self, model_type: ModelType, detailed: Detailed = False) -> JSONResponse:
        """Every family, in full with ``detailed=true``."""
        found = (await load_catalog(self._models)).families.values()
        if not detailed:
            return JSONResponse([render_families.brief(family) for family in found])
        # Several hundred families, made and encoded in a thread: validating them here as well would hold up the event loop.
        return await asyncio.to_thread(lambda: JSONResponse([render_families.full(family) for family in found]))

    async def get(self, model_type: ModelType, name: str) -> RegistrationReply:
        family = await find_family(self._models, name)
        return await asyncio.to_thread(render_families.full, family)

    async def register(self, model_type: ModelType, body: JsonObject) -> None:
        """Take a family into the catalog of the whole cluster."""
        asked = validate(RegistrationRequest, body)
        if asked.worker_ip:
            raise InvalidBody("A family is known to the whole cluster; leave worker_ip out.", param="worker_ip")
        family = await asyncio.to_thread(_checked, asked.model, await load_catalog(self._models))
        text = family.model_dump_json(exclude_defaults=True)
        await self._models.wait_for_version(
            await self._registry.register(Registration(family.name, text, asked.persist))
        )

    async def unregister(self, model_type: ModelType, name: str) -> None:
        """Take a registered family out of it. Models of it that run go on."""
        family = await find_family(self._models, name)
        if render_families.is_builtin(family):
            raise FamilyRefused(f"{family.name} comes with xinfer and stays.", param="model_name")
        await self._models.wait_for_version(await self._registry.unregister(family.name))

    async def suggest(self, body: JsonObject) -> dict[str, Any]:
        """What to register for the model in a folder of this machine."""
        asked = validate(SuggestionRequest, body)
        return await asyncio.to_thread(suggest, asked.model_path, asked.model_family)


def _checked(model: str | dict[str, Any], catalog: Catalog) -> Family:
    """The family described, which may be added to ``catalog``; ``FamilyRefused`` otherwise. Looks for its folders."""
    family = read_family(model, catalog)
    taken = catalog.find(family.name)
    if taken:
        if render_families.is_builtin(taken):
            whose = "comes with xinfer"
        else:
            whose = "is registered already"
        raise FamilyRefused(f"model_name: {taken.name!r} {whose}; choose another name.", param="model_name")
    try:
        names = check_engine_args(family.engine_args)
    except LaunchRefused as error:
        raise FamilyRefused(f"engine_args: {error.message}", param="engine_args") from None
    if gives_any(names, [_MEMORY_SHARE]):  # vLLM takes beginnings of names
        raise FamilyRefused(f"engine_args: {_MEMORY_SHARE} is for a launch to say; leave it out.", param="engine_args")
    return family
