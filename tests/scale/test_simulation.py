"""The simulation at a size for every run of the tests: what must not grow with the cluster does not."""

from __future__ import annotations

import pytest

from tests.scale.several_supervisors import SharedReplicas, Traffic
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


@pytest.mark.parametrize("supervisors", [2, 4])
def test_several_supervisors_share_four_replicas_about_as_well_as_one(supervisors: int) -> None:
    one = SharedReplicas(Traffic(1, requests=4_000)).run()
    several = SharedReplicas(Traffic(supervisors, requests=4_000)).run()
    assert several.busiest < 1.1 * one.busiest
    assert several.met > 0.94 * one.met
    strangers = SharedReplicas(Traffic(supervisors, requests=4_000, agree=False)).run()
    assert several.met > strangers.met + 0.05
