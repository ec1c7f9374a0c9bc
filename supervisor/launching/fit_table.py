"""What of the catalog fits a cluster, and why not: the choice that a launch would make, for each family or each of its models.

A plain decision: families and nodes come in, rows come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from supervisor.launching.launch_request import LaunchRequest
from supervisor.launching.placement import choose_placement
from xinfer.catalog import Catalog, Family, Selection
from xinfer.catalog.fit import Placement
from xinfer.catalog.footprint import footprint_of
from xinfer.catalog.gpu_places import NodeGpus
from xinfer.catalog.memory import GIB
from xinfer.errors import LaunchRefused

_MOST_TOKENS = 32768
"""Families have contexts of up to a million tokens, which few requests use."""


class Fit(TypedDict):
    """What a launch would do. ``memory_gib`` is on all GPUs of a replica together, or of the machine without a GPU."""

    fits: bool
    why: str
    model_size_in_billions: str | None
    model_format: str | None
    quantization: str | None
    n_gpu: float | None
    context_length: int | None
    memory_gib: float | None


class ModelFit(Fit):
    """One model of a family."""

    source: str


class FamilyFit(TypedDict):
    """A family, and what a launch by its name would do on this cluster now."""

    name: str
    description: str
    abilities: list[str]
    languages: list[str]
    context_length: int
    thinking: Literal["always", "never", "switch"]
    sizes: list[str]
    formats: list[str]
    fit: Fit


def family_fit(family: Family, catalog: Catalog, nodes: Sequence[NodeGpus]) -> FamilyFit:
    """The family with the model of it that a launch without further options would choose."""
    return {
        "name": family.name,
        "description": family.description,
        "abilities": [str(ability) for ability in family.abilities],
        "languages": list(family.languages),
        "context_length": family.context_length,
        "thinking": family.thinking.mode.value,
        "sizes": list(dict.fromkeys(spec.size_in_billions for spec in family.specs)),
        "formats": list(dict.fromkeys(spec.format for spec in family.specs)),
        "fit": _fit(LaunchRequest.read({"model_name": family.name}), catalog, nodes),
    }


def family_fits(families: Sequence[Family], catalog: Catalog, nodes: Sequence[NodeGpus]) -> list[FamilyFit]:
    """Each of them."""
    return [family_fit(family, catalog, nodes) for family in families]


def model_fits(family: Family, catalog: Catalog, nodes: Sequence[NodeGpus]) -> list[ModelFit]:
    """Every model of the family."""
    return [_model_fit(selection, catalog, nodes) for selection in catalog.matching(family.name)]


def _model_fit(selection: Selection, catalog: Catalog, nodes: Sequence[NodeGpus]) -> ModelFit:
    asked = {
        "model_name": selection.family.name,
        "model_size_in_billions": selection.spec.size_in_billions,
        "model_format": selection.spec.format,
        "quantization": selection.quantization,
    }
    fit = _fit(LaunchRequest.read(asked), catalog, nodes)
    if not fit["fits"]:
        fit = {**fit, "memory_gib": _gib(selection, 1, None), **_names(selection)}
    source = "bundled" if selection.spec.bundled else str(selection.path)
    return {**fit, "source": source}


def _fit(request: LaunchRequest, catalog: Catalog, nodes: Sequence[NodeGpus]) -> Fit:
    try:
        placement = choose_placement(request, catalog, nodes)
    except LaunchRefused as refusal:
        return _refused(refusal.message)
    return _placed(placement, nodes)


def _placed(placement: Placement, nodes: Sequence[NodeGpus]) -> Fit:
    selection = placement.selection
    needed = _gib(selection, max(1, int(placement.gpus)), placement.context_length)
    why = placement.why
    fits = True
    if not placement.gpus:
        # A launch on the CPU is refused by the node, which knows what is free; here only what can never fit is.
        largest = max((node.memory_bytes or 0 for node in nodes), default=0) / GIB
        fits = needed <= largest
        if not fits:
            why = f"It needs about {needed:.1f} GiB of memory, and the largest machine has {largest:.1f} GiB."
    return {
        "fits": fits,
        "why": why,
        **_names(selection),
        "n_gpu": placement.gpus,
        "context_length": placement.context_length,
        "memory_gib": needed,
    }


def _refused(why: str) -> Fit:
    return {
        "fits": False,
        "why": why,
        "model_size_in_billions": None,
        "model_format": None,
        "quantization": None,
        "n_gpu": None,
        "context_length": None,
        "memory_gib": None,
    }


class _Names(TypedDict):
    model_size_in_billions: str | None
    model_format: str | None
    quantization: str | None


def _names(selection: Selection) -> _Names:
    return {
        "model_size_in_billions": selection.spec.size_in_billions,
        "model_format": selection.spec.format,
        "quantization": selection.quantization,
    }


def _gib(selection: Selection, ranks: int, tokens: int | None) -> float:
    size = footprint_of(selection)
    needed = size.estimate(min(tokens or size.context_length, _MOST_TOKENS), ranks)
    return round(needed.total_bytes * ranks / GIB, 2)
