"""Chooses the model of a family, and the number of GPUs, for a launch by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from supervisor.launching.launch_request import LaunchRequest
from xinfer.catalog import Catalog
from xinfer.catalog.fit import Placement, PlacementRequest, best_placement
from xinfer.catalog.gpu_places import NodeGpus
from xinfer.engine_args import argument, gives_any
from xinfer.settings import EngineSettings

_CHANGE_MEMORY = ("quantization", "cpu_offload_gb", "hf_overrides", "dtype", "load_format", "enable_expert_parallel")
"""Arguments of vLLM that change a model's memory, so that the catalog's estimates do not hold."""


def choose_placement(request: LaunchRequest, catalog: Catalog, nodes: Sequence[NodeGpus]) -> Placement:
    """The model that ``request`` names; what it leaves open is chosen by what ``nodes`` have. Blocks on the disk.

    Raises ``LaunchRefused`` if there is no such model, or if it is certain that none fits.
    """
    found = catalog.matching(
        str(request.model_name),
        request.model_size_in_billions,
        request.model_format,
        request.quantization,
    )
    arguments = {**found[0].family.engine_args, **request.engine_args}
    gpus = request.gpus
    if gpus is None:
        gpus = _gpus_of_each(arguments, request.workers)

    # Nothing is left open, so the engine decides whether it fits: no estimate may refuse it.
    if gpus is not None and len(found) == 1:
        return Placement(found[0], gpus, workers=request.workers)

    return best_placement(found, nodes, _placement_request(request, arguments, gpus))


def _placement_request(request: LaunchRequest, arguments: Mapping[str, Any], gpus: float | None) -> PlacementRequest:
    tokens = request.context_length
    if tokens is None:
        tokens = int(_positive(argument(arguments, "max_model_len")) or 0) or None

    share = _positive(argument(arguments, "gpu_memory_utilization"))
    if share is None:
        share = EngineSettings.from_environment().gpu_memory_share
    else:
        # vLLM's share is of the whole GPU, and ours of the part that the model gets.
        share /= min(1.0, gpus or 1.0)

    return PlacementRequest(
        gpus=gpus,
        workers=request.workers,
        replicas=request.replica or 1,
        tokens=tokens,
        kv_dtype=str(argument(arguments, "kv_cache_dtype") or "auto"),
        share=share,
        can_refuse=not gives_any(arguments, _CHANGE_MEMORY),
    )


def _gpus_of_each(arguments: Mapping[str, Any], workers: int) -> float | None:
    """GPUs of each worker, by the arguments that share the model among them; None if they do not say."""
    ranks = _ranks(arguments)
    if ranks is None:
        return None
    # What does not divide is refused where the sizes are compared.
    return max(1, ranks // workers)


def _ranks(arguments: Mapping[str, Any]) -> float | None:
    """GPUs that the arguments share the model among; None if they do not say."""
    tensor = argument(arguments, "tensor_parallel_size")
    pipeline = argument(arguments, "pipeline_parallel_size")
    if tensor is None and pipeline is None:
        return None
    return (_positive(tensor) or 1) * (_positive(pipeline) or 1)


def _positive(value: Any) -> float | None:
    """A finite number above 0, else None. Refusing anything else is left to the engine, which says why."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if 0 < number < float("inf"):
        return number
    return None
