"""REST: what of the catalog fits this cluster now, and why not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from supervisor.api.lookups import find_family, load_catalog
from supervisor.launching.fit_table import FamilyFit, ModelFit, family_fit, family_fits, model_fits
from supervisor.model_table import LiveTable
from supervisor.nodes.gpu_inventory import gpu_inventory
from xinfer.catalog import Catalog
from xinfer.catalog.gpu_places import NodeGpus

_AT_ONCE = 8


class FamilyFits(TypedDict):
    """Every family of the catalog."""

    object: str
    data: list[FamilyFit]


class FamilyInFull(TypedDict):
    """One family, with all its models."""

    family: FamilyFit
    models: list[ModelFit]


class FitsApi:
    """Handlers of ``/v1/catalog``. They tell what a launch would choose, and start nothing."""

    def __init__(self, models: LiveTable) -> None:
        self._models = models
        self._known: tuple[Catalog, tuple[NodeGpus, ...], list[FamilyFit]] | None = None

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route(
            "/v1/catalog", self.families, methods=["GET"], summary="The families, and what of them fits this cluster."
        )
        routes.add_api_route(
            "/v1/catalog/{name}", self.family, methods=["GET"], summary="A family's models, and which of them fit."
        )

    async def families(self) -> FamilyFits:
        """Every family with what a launch by its name would choose on the GPUs that are free now."""
        catalog = await load_catalog(self._models)
        nodes = await self._nodes()
        if self._known is None or self._known[:2] != (catalog, nodes):
            self._known = (catalog, nodes, await _fits(catalog, nodes))
        return {"object": "list", "data": self._known[2]}

    async def family(self, name: str) -> FamilyInFull:
        """One family with all its sizes, formats and quantizations."""
        family = await find_family(self._models, name)
        catalog = await load_catalog(self._models)
        nodes = await self._nodes()
        models = await asyncio.to_thread(model_fits, family, catalog, nodes)
        return {"family": await asyncio.to_thread(family_fit, family, catalog, nodes), "models": models}

    async def _nodes(self) -> tuple[NodeGpus, ...]:
        return tuple(await asyncio.to_thread(gpu_inventory, list(self._models.all.values())))


async def _fits(catalog: Catalog, nodes: Sequence[NodeGpus]) -> list[FamilyFit]:
    """In small parts: several hundred estimates at once would hold up the streams of this process."""
    families = list(catalog.families.values())
    found: list[FamilyFit] = []
    for begin in range(0, len(families), _AT_ONCE):
        part = families[begin : begin + _AT_ONCE]
        found += await asyncio.to_thread(family_fits, part, catalog, nodes)
        await asyncio.sleep(0)
    return found
