"""How the processes of one replica share a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xinfer.engine_args import argument, gives_any
from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec

_TENSOR = "tensor_parallel_size"
_PIPELINE = "pipeline_parallel_size"


@dataclass(frozen=True, slots=True)
class Parallel:
    """How GPUs share a model: the heads of each layer (tensor parallelism) and the layers (pipeline parallelism)."""

    tensor: int = 1
    pipeline: int = 1

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline


ALONE = Parallel()


def parallel_of(spec: ModelSpec, *, can_pipeline: bool = True) -> Parallel:
    """How the processes of one replica share its model.

    By tensor parallelism within a node and pipeline parallelism across nodes, unless the launch says otherwise. An engine
    that cannot do the latter shares by tensor parallelism only.
    """
    tensor = _whole(spec.engine_args, _TENSOR)
    pipeline = _whole(spec.engine_args, _PIPELINE)
    on_each = max(1, int(spec.gpus))
    if spec.workers == 1:
        return Parallel(tensor or on_each, pipeline or 1)

    ranks = on_each * spec.workers
    if tensor:
        return Parallel(tensor, pipeline or max(1, ranks // tensor))
    if pipeline:
        return Parallel(max(1, ranks // pipeline), pipeline)
    if can_pipeline:
        return Parallel(on_each, spec.workers)
    return Parallel(ranks)


def given_sizes(spec: ModelSpec) -> dict[str, int]:
    """Both sizes as arguments of the engine, if the launch gives one of them: on another number of nodes the other one would
    be another.
    """
    if not gives_any(spec.engine_args, (_TENSOR, _PIPELINE)):
        return {}
    parallel = parallel_of(spec)
    return {_TENSOR: parallel.tensor, _PIPELINE: parallel.pipeline}


def check_parallel(spec: ModelSpec) -> None:
    """``LaunchRefused`` if the sizes given at the launch do not make as many processes as a gang has GPUs, or nodes."""
    if spec.workers == 1:
        return
    parallel = parallel_of(spec)
    if spec.gpus:
        fits = parallel.gpus == spec.gpus_per_replica
        expected = f"{spec.gpus_per_replica:g}, for {spec.workers} workers of {spec.gpus:g} GPUs"
    else:
        fits = parallel.gpus % spec.workers == 0
        expected = f"a multiple of {spec.workers}, as many on each worker"
    if not fits:
        raise LaunchRefused(
            f"{_TENSOR} {parallel.tensor} times {_PIPELINE} {parallel.pipeline} is {parallel.gpus}; expected {expected}.",
            param=_TENSOR,
        )


def _whole(arguments: Mapping[str, Any], name: str) -> int | None:
    """A number from 1 on; None for anything else, which is the engine's to refuse."""
    try:
        number = int(argument(arguments, name))
    except (TypeError, ValueError):
        return None
    if number < 1:
        return None
    return number
