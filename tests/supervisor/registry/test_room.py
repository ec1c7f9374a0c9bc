"""What nodes have room for, and what is said where they have none."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.registry.room import lack_of_room
from tests.supervisor.samples import spec
from xinfer.catalog.gpu_places import NodeGpus, replicas_that_fit, whole_nodes


def nodes(*free: float) -> list[NodeGpus]:
    return [NodeGpus(8, each) for each in free]


@pytest.mark.parametrize(
    ("free", "gpus", "workers", "count"),
    [
        ((), 1, 1, 0),
        ((8,), 2, 1, 4),
        ((0.7, 0.3), 0.1, 1, 10),
        ((8,), 4, 2, 0),
        ((8, 8), 4, 2, 2),
        ((8, 4), 4, 2, 1),
        ((8, 4, 4), 4, 2, 2),
        ((4, 4, 4), 4, 2, 1),
        ((8, 8, 8), 4, 3, 2),
    ],
)
def test_replicas_that_fit(free: tuple[float, ...], gpus: float, workers: int, count: int) -> None:
    assert replicas_that_fit(free, gpus, workers) == count


@given(st.lists(st.integers(0, 4), max_size=4), st.integers(1, 3))
def test_they_are_as_many_as_can_be_placed_one_after_the_other(places: list[int], workers: int) -> None:
    """By taking the emptiest nodes each time, which is the best that can be done."""
    left = list(places)
    for placed in itertools.count():
        left.sort(reverse=True)
        if len(left) < workers or not left[workers - 1]:
            assert replicas_that_fit(places, 1, workers) == placed
            return
        for number in range(workers):
            left[number] -= 1


@pytest.mark.parametrize(
    ("there", "workers", "gpus"), [((8, 4, 1), 2, 4), ((8, 0.5), 2, 1), ((8,), 2, 1), ((8, 6, 6), 3, 6)]
)
def test_whole_nodes(there: tuple[float, ...], workers: int, gpus: float) -> None:
    assert whole_nodes(nodes(*there), workers) == gpus


def test_whole_nodes_without_gpus() -> None:
    assert whole_nodes([NodeGpus()], 2) == 0


@pytest.mark.parametrize(
    ("facts", "free"),
    [
        ({}, ()),
        ({"gpus": 2, "replicas": 2}, (4,)),
        ({"workers": 2}, (0, 0)),
        ({"workers": 2, "gpus": 4}, (4, 4)),
    ],
)
def test_enough(facts: dict[str, int], free: tuple[float, ...]) -> None:
    assert lack_of_room(spec(**facts), nodes(*free)) is None


@pytest.mark.parametrize(
    ("facts", "free", "words"),
    [
        (
            {"gpus": 16},
            (8, 8),
            "16 GPUs are asked for (1 replicas of 16); the cluster has 16, 16 of them free, at most 8",
        ),
        ({"workers": 3}, (8, 8), "1 replica of 3 workers, each on a node of its own, are asked for; nodes: 2."),
        (
            {"workers": 3, "node_labels": {"a": "b"}},
            (8, 8),
            "nodes that it may run on: 2.",
        ),
        (
            {"workers": 2, "gpus": 4, "replicas": 2},
            (4, 4, 3),
            "2 replicas of 2 workers with 4 GPUs each are asked for, every worker of a replica on a node of its own; "
            "the cluster has 24, 11 of them free, and 2 nodes have 4 or more of them free.",
        ),
    ],
)
def test_too_little(facts: dict[str, int], free: tuple[float, ...], words: str) -> None:
    assert words in str(lack_of_room(spec(**facts), nodes(*free)))
