"""Models and families by what a path names, for all handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from supervisor.model_table import LiveTable
from xinfer.catalog import Catalog, Family
from xinfer.errors import ModelNotFound, NotFound
from xinfer.messages import ModelSpec, ModelStatus


def known_model(models: LiveTable, uid: str) -> ModelStatus:
    """The model in any state, a failed launch too."""
    model = models.all.get(uid)
    if model is None:
        raise ModelNotFound(f"There is no model {uid[:100]!r}. GET /v1/models lists what runs.", param="model_uid")
    return model


def is_launch(table: Mapping[str, ModelStatus], spec: ModelSpec) -> bool:
    """Whether the model under this UID is of this very launch."""
    model = table.get(spec.uid)
    return model is not None and model.spec.created_at == spec.created_at


async def load_catalog(models: LiveTable) -> Catalog:
    """The catalog as it is now."""
    # The first call reads the shipped families from disk.
    return await asyncio.to_thread(lambda: models.catalog)


async def find_family(models: LiveTable, name: str) -> Family:
    """The family of this name, or ``NotFound``."""
    catalog = await load_catalog(models)
    family = catalog.find(name)
    if family is None:
        raise NotFound(f"There is no family {name[:100]!r}. GET /v1/models/families lists them.", param="model_name")
    return family


def check_type(model_type: str) -> None:
    """``NotFound`` for models of any other type than language models."""
    if model_type.upper() != "LLM":
        raise NotFound("xinfer serves language models; the model type has to be LLM.")
