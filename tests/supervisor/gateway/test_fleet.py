"""The ring on which supervisors find the same place for a conversation."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from supervisor.gateway.fleet import Fleet, Ring, stable_hash
from tests.supervisor.samples import report

NAMES = [f"m-{number}" for number in range(10)]
POINTS = [stable_hash(str(number).encode()) for number in range(5_000)]


@given(st.integers(0, 2**64 - 1), st.integers(1, 10))
def test_order_has_every_name_once(point: int, count: int) -> None:
    assert sorted(Ring(NAMES[:count]).order(point)) == sorted(NAMES[:count])


def test_each_has_about_its_part() -> None:
    ring = Ring(NAMES)
    parts = Counter(next(ring.order(point)) for point in POINTS)
    assert min(parts.values()) / 500 > 0.5
    assert max(parts.values()) / 500 < 1.6


def test_one_that_goes_leaves_the_others_where_they_were() -> None:
    before, after = Ring(NAMES), Ring(NAMES[:-1])
    for point in POINTS[:500]:
        order = [name for name in before.order(point) if name != NAMES[-1]]
        assert order == list(after.order(point))


def test_order_does_not_depend_on_that_of_the_table() -> None:
    reports = [report(name) for name in NAMES]
    assert list(Fleet(reports).order(7)) == list(Fleet(reports[::-1]).order(7))


def test_fleet_knows_its_replicas_in_another_list() -> None:
    reports = [report(name) for name in NAMES]
    fleet = Fleet(reports)
    assert fleet.is_of(list(reports))
    assert not fleet.is_of(reports[1:])
    assert not fleet.is_of([*reports[:-1], report("new")])
