"""REST: what can be launched by name, in Xinference's words: families, prompts, engines, versions."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from supervisor.api import render_families
from supervisor.api.lookups import find_family, load_catalog
from supervisor.api.parameters import ModelType
from supervisor.model_table import LiveTable
from supervisor.nodes.on_node import head_address

_ABILITIES = ("chat", "generate", "tools", "vision", "reasoning", "audio", "omni", "hybrid")


class CatalogApi:
    """Handlers that tell of families; those that users have registered are among them."""

    def __init__(self, models: LiveTable) -> None:
        self._models = models

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route("/v1/models/families", self.families, methods=["GET"], summary="Families by ability.")
        routes.add_api_route(
            "/v1/models/prompts",
            self.prompts,
            methods=["GET"],
            summary="Chat templates and stop sequences of families.",
        )
        routes.add_api_route(
            "/v1/models/vllm-supported", self.vllm_supported, methods=["GET"], summary="Families that vLLM runs."
        )
        routes.add_api_route(
            "/v1/models/{type}/{name}/versions", self.versions, methods=["GET"], summary="The models of a family."
        )
        routes.add_api_route(
            "/v1/engines/{name}", self.engines, methods=["GET"], summary="Which models of a family run on which engine."
        )
        routes.add_api_route(
            "/v1/engines/{type}/{name}",
            self.engines_of_type,
            methods=["GET"],
            summary="Which models of a family run on which engine.",
        )

    async def families(self) -> dict[str, list[str]]:
        catalog = await load_catalog(self._models)
        return render_families.names_by_ability(catalog.families.values(), _ABILITIES)

    async def vllm_supported(self) -> dict[str, list[str]]:
        """Names that vLLM runs: all of them."""
        catalog = await load_catalog(self._models)
        return render_families.names_by_ability(catalog.families.values(), ("chat", "generate"))

    async def prompts(self) -> dict[str, render_families.Prompt]:
        """What is known of prompts, by name."""
        catalog = await load_catalog(self._models)
        return {family.name: render_families.prompt(family) for family in catalog.families.values()}

    async def engines(self, name: str) -> dict[str, list[render_families.EngineSpec]]:
        """What of a family each engine can run. Only vLLM is named: Xinference's CLI fails on engines with a reason instead."""
        family = await find_family(self._models, name)
        return {"vLLM": render_families.engine_specs(family)}

    async def engines_of_type(self, model_type: ModelType, name: str) -> dict[str, list[render_families.EngineSpec]]:
        """The same for a type, of which there is one."""
        return await self.engines(name)

    async def versions(self, model_type: ModelType, name: str) -> list[render_families.VersionReply]:
        """The models of a family, and where the head has them."""
        family = await find_family(self._models, name)
        head = head_address()
        return await asyncio.to_thread(lambda: list(render_families.versions(family, head)))
