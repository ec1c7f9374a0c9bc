"""REST: what can be launched by name, in Xinference's words: families, prompts, engines, versions."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as Path

from supervisor.api import render_families as family_views
from supervisor.model_table import LiveTable
from supervisor.nodes.on_node import head_address
from xinfer.catalog import Catalog, Family
from xinfer.errors import NotFound

_ABILITIES = ("chat", "generate", "tools", "vision", "reasoning", "audio", "omni", "hybrid")


class CatalogApi:
    """Handlers that tell of families; those that users have registered are among them."""

    def __init__(self, models: LiveTable) -> None:
        self._models = models

    def paths(self) -> list[Path]:
        return [
            Path("/v1/models/families", self.families, methods=["GET"]),
            Path("/v1/models/prompts", self.prompts, methods=["GET"]),
            Path("/v1/models/vllm-supported", self.vllm_supported, methods=["GET"]),
            Path("/v1/models/{type}/{name}/versions", self.versions, methods=["GET"]),
            Path("/v1/engines/{name}", self.engines, methods=["GET"]),
            Path("/v1/engines/{type}/{name}", self.engines, methods=["GET"]),
        ]

    async def families(self, request: Request) -> Response:
        catalog = await load(self._models)
        return JSONResponse(family_views.names_by_ability(catalog.families.values(), _ABILITIES))

    async def vllm_supported(self, request: Request) -> Response:
        """Names that vLLM runs: all of them."""
        catalog = await load(self._models)
        return JSONResponse(family_views.names_by_ability(catalog.families.values(), ("chat", "generate")))

    async def prompts(self, request: Request) -> Response:
        """What is known of prompts, by name."""
        catalog = await load(self._models)
        return JSONResponse({family.name: family_views.prompt(family) for family in catalog.families.values()})

    async def engines(self, request: Request) -> Response:
        """What of a family each engine can run. Only vLLM is named: Xinference's CLI fails on engines with a reason instead."""
        check_type(request)
        return JSONResponse({"vLLM": family_views.engine_specs(await named(self._models, request))})

    async def versions(self, request: Request) -> Response:
        """The models of a family, and where the head has them."""
        check_type(request)
        family = await named(self._models, request)
        head = head_address()
        return JSONResponse(await asyncio.to_thread(lambda: list(family_views.versions(family, head))))


async def load(models: LiveTable) -> Catalog:
    """The catalog as it is now. The first call reads it from disk."""
    return await asyncio.to_thread(lambda: models.catalog)


async def named(models: LiveTable, request: Request) -> Family:
    """The family that the path names, or ``NotFound``."""
    name = request.path_params["name"]
    found = (await load(models)).find(name)
    if found is None:
        raise NotFound(f"There is no family {name[:100]!r}. GET /v1/models/families lists them.", param="model_name")
    return found


def check_type(request: Request) -> None:
    """``NotFound`` if the path is about models of another type; without one, about language models."""
    if request.path_params.get("type", "LLM").upper() != "LLM":
        raise NotFound("xinfer serves language models; the model type has to be LLM.")
