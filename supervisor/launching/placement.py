"""From a launch by name to the model of the family that fits the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xinfer.catalog import Catalog
from xinfer.catalog.fit import Choice, PlacementRequest, choose
from xinfer.catalog.gpu_places import NodeGpus
from xinfer.settings import EngineSettings

if TYPE_CHECKING:
    from supervisor.launching.launch import LaunchRequest

_CHANGE_MEMORY = ("quantization", "cpu_offload_gb", "hf_overrides", "dtype", "load_format", "enable_expert_parallel")
"""Arguments of the engine after which the catalog's figures do not hold."""


def fit(request: LaunchRequest, catalog: Catalog, nodes: Sequence[NodeGpus]) -> Choice:
    """The model that ``request`` names, chosen by what ``nodes`` have where it leaves a choice. Blocks on the disk.

    Raises ``LaunchRefused`` if there is no such model, or if it is known for certain that none fits.
    """
    size = request.model_size_in_billions
    name = str(request.model_name)
    found = catalog.matching(name, size, request.model_format, request.quantization)
    arguments = {**found[0].family.engine_args, **request.engine_args}
    gpus: float | None
    if request.gpus is not None:
        gpus = request.gpus
    else:
        gpus = _ranks(arguments)
    if gpus is not None and len(found) == 1:
        return Choice(found[0], gpus)
    return choose(found, nodes, _wish(request, arguments, gpus))


def _wish(request: LaunchRequest, arguments: Mapping[str, Any], gpus: float | None) -> PlacementRequest:
    share = _number(_argument(arguments, "gpu_memory_utilization"))
    return PlacementRequest(
        gpus=gpus,
        replicas=request.replica or 1,
        tokens=request.context_length or int(_number(_argument(arguments, "max_model_len")) or 0) or None,
        kv_dtype=str(_argument(arguments, "kv_cache_dtype") or "auto"),
        share=share / min(1.0, gpus or 1.0) if share else EngineSettings.from_environment().gpu_memory_share,
        can_refuse=not any(name.startswith(given) for name in _CHANGE_MEMORY for given in arguments),
    )


def _ranks(arguments: Mapping[str, Any]) -> float | None:
    """GPUs that the engine is told to share the model among; None if it is told nothing."""
    told = [_argument(arguments, f"{kind}_parallel_size") for kind in ("tensor", "pipeline")]
    if told == [None, None]:
        return None
    tensor, pipeline = (_number(each) or 1 for each in told)
    return tensor * pipeline


def _argument(arguments: Mapping[str, Any], name: str) -> Any:
    """An argument of the engine, also where only the beginning of its name is given, as vLLM allows."""
    return arguments.get(name, next((value for key, value in arguments.items() if name.startswith(key)), None))


def _number(value: Any) -> float | None:
    """None for what is not given, and for what is no number above 0, which is the engine's to refuse."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if 0 < number < float("inf"):
        return number
    return None
