"""Models that need more GPUs than there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.registry.autoscaling.shares import Claim, fair_sizes


@pytest.mark.parametrize(
    ("first", "second", "gpus", "expected"),
    [
        (Claim("a", 1, 1, 1, 8), Claim("b", 1, 1, 1, 8), 8, (4, 4)),
        (Claim("a", 1, 3, 1, 8), Claim("b", 1, 1, 1, 8), 8, (6, 2)),
        (Claim("a", 1, 1, 1, 2), Claim("b", 1, 1, 1, 8), 8, (2, 6)),
        (Claim("a", 2, 1, 0, 8), Claim("b", 1, 1, 0, 8), 8, (2, 4)),
        (Claim("a", 1, 100, 1, 8), Claim("b", 1, 1, 3, 8), 8, (5, 3)),
        (Claim("a", 4, 1, 1, 2), Claim("b", 1, 1, 1, 8), 6, (1, 2)),
    ],
)
def test_two(first: Claim, second: Claim, gpus: float, expected: tuple[int, int]) -> None:
    assert tuple(fair_sizes([first, second], gpus).values()) == expected


CLAIMS = st.builds(
    lambda uid, gpus, weight, least, more: Claim(uid, gpus, weight, least, least + more),
    st.sampled_from("abcde"),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.floats(0.1, 10),
    st.integers(0, 2),
    st.integers(0, 6),
)


@given(st.lists(CLAIMS, max_size=5, unique_by=lambda claim: claim.uid), st.integers(20, 40))
def test_any(claims: list[Claim], gpus: int) -> None:
    sizes = fair_sizes(claims, gpus)
    used = sum(sizes[claim.uid] * claim.gpus for claim in claims)
    assert used <= gpus
    for claim in claims:
        assert claim.least <= sizes[claim.uid] <= claim.need
        assert sizes[claim.uid] == claim.need or used + claim.gpus > gpus, "nothing is left that somebody needs"
