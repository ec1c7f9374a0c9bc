"""REST: the hub's cache on all nodes, in Xinference's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query

from supervisor.api import render
from supervisor.api.lookups import load_catalog
from supervisor.api.parameters import WorkerIp
from supervisor.api.schemas import CachedFiles, CachedModel, CachedModels, Result
from supervisor.model_table import LiveTable
from supervisor.nodes import on_node as nodes
from supervisor.nodes.hub_cache import CachedRepo
from supervisor.nodes.on_node import Node
from xinfer.catalog import Catalog, Family, Spec
from xinfer.errors import Conflict, NotFound
from xinfer.messages import SETTLED, ModelStatus
from xinfer.model_size import size_as_number

ModelVersion = Annotated[str, Query(min_length=1, description="Which model, as GET /v1/cache/models names it.")]


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog has of a repository: the first model of its families that is there."""

    family: Family
    spec: Spec
    quantization: str


@dataclass(frozen=True, slots=True)
class Found:
    node: Node
    repo: CachedRepo
    known: Known | None

    @property
    def version(self) -> str:
        """By what name it is removed: the contract's, or the hub's id if the catalog has it not."""
        if self.known is None:
            return self.repo.repo
        spec = self.known.spec
        return render.version(self.known.family.name, spec.size_in_billions, spec.format, self.known.quantization)

    def reply(self) -> CachedModel:
        known = self.known
        return {
            "model_name": known.family.name if known else self.repo.repo,
            "model_type": "LLM" if known else None,
            "model_engine": "vLLM" if known else None,
            "model_size_in_billions": size_as_number(known.spec.size_in_billions) if known else None,
            "model_format": known.spec.format if known else None,
            "quantization": known.quantization if known else None,
            "model_version": self.version,
            "path": self.repo.path,
            "real_path": self.repo.real_path,
            "actor_ip_address": self.node["NodeManagerAddress"],
            "size_bytes": self.repo.size_bytes,
        }


class CacheApi:
    """Handlers of ``/v1/cache``. Each node is asked for its own cache; the environment of ``xinfer start`` says where it is."""

    def __init__(self, routes: LiveTable) -> None:
        self._models = routes

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route(
            "/v1/cache/models", self.list_models, methods=["GET"], summary="What the nodes' caches hold."
        )
        routes.add_api_route("/v1/cache/models", self.remove, methods=["DELETE"], summary="Delete a model's files.")
        routes.add_api_route(
            "/v1/cache/models/files", self.files, methods=["GET"], summary="What removing a model would delete."
        )

    async def list_models(self, model_name: str | None = None, worker_ip: WorkerIp = None) -> CachedModels:
        """The models in the caches, by name or all."""
        models = [each.reply() for each in await _find(worker_ip, self._models)]
        return {"list": [model for model in models if model_name in (None, model["model_name"])]}

    async def files(self, model_version: ModelVersion, worker_ip: WorkerIp = None) -> CachedFiles:
        found = await _of_version(worker_ip, self._models, model_version)
        paths = []
        for each in found:
            paths += [each.repo.path, *each.repo.files]
        return {"model_version": model_version, "worker_ip": worker_ip, "paths": paths}

    async def remove(self, model_version: ModelVersion, worker_ip: WorkerIp = None) -> Result:
        """Delete one from the cache of one node or of all; 409 while a model runs from there."""
        found = await _of_version(worker_ip, self._models, model_version)
        if not found:
            raise NotFound(f"No cache has {model_version[:200]!r}. GET /v1/cache/models lists what there is.")
        _check_unused(found, self._models.all)
        removed = [await nodes.on_node(each.node, "remove_from_hub_cache", each.repo.repo) for each in found]
        return {"result": all(removed)}


def _check_unused(found: list[Found], routes: Mapping[str, ModelStatus]) -> None:
    repos = {each.repo.repo for each in found}
    folders = tuple(f"{each.repo.path}/" for each in found)
    for uid, route in routes.items():
        path = route.spec.path
        if route.state not in SETTLED and (path in repos or f"{path}/".startswith(folders)):
            raise Conflict(f"The model {uid!r} runs from there; terminate it first.", param="model_version")


async def _of_version(worker_ip: str | None, routes: LiveTable, version: str) -> list[Found]:
    return [each for each in await _find(worker_ip, routes) if each.version == version]


async def _find(worker_ip: str | None, routes: LiveTable) -> list[Found]:
    """What the node that the request names has, or all of them."""
    there = await nodes.tended(await nodes.alive(worker_ip))
    repos = dict(_catalogued(await load_catalog(routes)))
    every = zip(there, await nodes.on_each(there, "scan_hub_cache"), strict=True)
    found = []
    for node, cached in every:
        found += [Found(node, repo, repos.get(repo.repo)) for repo in cached]
    return sorted(found, key=lambda each: each.reply()["model_name"].casefold())


def _catalogued(catalog: Catalog) -> Iterator[tuple[str, Known]]:
    """Hub ids with what they are; of several families with the same id the first one's wins, so it comes last."""
    for family in reversed(list(catalog.families.values())):
        for spec in reversed(family.specs):
            if spec.bundled:
                continue
            for quantization in reversed(list(spec.quantizations)):
                yield spec.path(quantization), Known(family, spec, quantization)
