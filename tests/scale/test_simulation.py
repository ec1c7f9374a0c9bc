"""The simulation at a size for every run of the tests: what must not grow with the cluster does not."""

from __future__ import annotations

import pytest

from tests.scale.simulation import Size, measure

SMALL = Size(nodes=100, models=50, replicas_per_model=4, supervisors=4, streams=600)


@pytest.fixture(scope="module")
def figures() -> dict[str, float]:
    return {figure.what.partition(",")[0]: figure.value for figure in measure(SMALL)}


def test_a_change_travels_alone(figures: dict[str, float]) -> None:
    """It is as large in a cluster of any size: about one model of the fifty."""
    assert (
        figures["one change: bytes to each supervisor"] * 10 < figures["whole table: bytes to each supervisor"] * 1024
    )


def test_prompts_meet_the_blocks_that_they_have_left(figures: dict[str, float]) -> None:
    """Four supervisors, none of which knows what the others have sent."""
    assert figures["cache: blocks met where they had been"] > 0.6
