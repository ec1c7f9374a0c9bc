"""How the processes of a replica share its model."""

from __future__ import annotations

from typing import Any

import pytest

from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec
from xinfer.parallel import Parallel, check_parallel, parallel_of


def spec(gpus: float, workers: int, **arguments: Any) -> ModelSpec:
    return ModelSpec("m", "f", "p", gpus=gpus, workers=workers, engine_args=arguments)


@pytest.mark.parametrize(
    ("gpus", "workers", "arguments", "shared"),
    [
        (0, 1, {}, (1, 1)),
        (0.5, 1, {}, (1, 1)),
        (4, 1, {}, (4, 1)),
        (4, 1, {"pipeline_parallel_size": 2}, (4, 2)),
        (4, 2, {}, (4, 2)),
        (0, 3, {}, (1, 3)),
        (4, 2, {"tensor_parallel_size": 8}, (8, 1)),
        (4, 2, {"tensor_parallel": "2"}, (2, 4)),
        (4, 2, {"pipeline_parallel_size": 8}, (1, 8)),
        (4, 2, {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}, (2, 2)),
        (4, 2, {"tensor_parallel_size": "many"}, (4, 2)),
    ],
)
def test_tensor_within_a_node_and_pipeline_across(
    gpus: float, workers: int, arguments: dict[str, Any], shared: tuple[int, int]
) -> None:
    assert parallel_of(spec(gpus, workers, **arguments)) == Parallel(*shared)


def test_without_pipelines() -> None:
    assert parallel_of(spec(2, 2), can_pipeline=False) == Parallel(4, 1)
    assert parallel_of(spec(0, 2), can_pipeline=False) == Parallel(2, 1)


@pytest.mark.parametrize(
    ("gpus", "workers", "arguments", "refusal"),
    [
        (4, 2, {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}, r"is 4; expected 8, for 2 workers of 4 GPUs"),
        (4, 2, {"tensor_parallel_size": 3}, r"3 times .* 2 is 6; expected 8"),
        (0, 2, {"tensor_parallel_size": 3, "pipeline_parallel_size": 1}, r"is 3; expected a multiple of 2"),
    ],
)
def test_sizes_that_are_not_its_gpus(gpus: float, workers: int, arguments: dict[str, Any], refusal: str) -> None:
    with pytest.raises(LaunchRefused, match=refusal):
        check_parallel(spec(gpus, workers, **arguments))


def test_sizes_that_are_its_gpus() -> None:
    check_parallel(spec(4, 2))
    check_parallel(spec(4, 2, tensor_parallel_size=8))
    check_parallel(spec(0, 2, tensor_parallel_size=2, pipeline_parallel_size=1))
    # One node: vLLM says what is wrong.
    check_parallel(spec(4, 1, tensor_parallel_size=3))
