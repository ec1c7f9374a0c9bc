"""The simulated day: what it is made of, and how xinfer's policies compare with others'."""

from __future__ import annotations

import pytest

from tests.supervisor.registry.autoscaling.loads import TICK_S, poisson
from tests.supervisor.registry.autoscaling.simulation import (
    DAY_S,
    REFERENCES,
    TARGETS,
    Outcome,
    day,
    hours_at,
    policies,
    replay,
)


def test_day_is_the_same_for_the_same_seed() -> None:
    rates = day(1)
    assert rates == day(1)
    assert rates != day(2)
    assert len(rates) == DAY_S / TICK_S
    night = rates[int(3 * 3600 / TICK_S) : int(5 * 3600 / TICK_S)]
    assert set(night) == {0.0}
    assert poisson(rates[-2000:], 1) == poisson(rates[-2000:], 1)


def test_hours_at_a_share_of_misses_lie_between_what_was_measured() -> None:
    outcomes = [Outcome(100, 0.001, 0, 0, []), Outcome(80, 0.01, 0, 0, [])]
    assert hours_at(0.001, outcomes) == 100
    assert hours_at(0.01, outcomes) == 80
    between = hours_at(0.003, outcomes)
    assert between
    assert 80 < between < 100
    assert hours_at(0.02, outcomes) is None


@pytest.mark.heavy
def test_no_worse_than_the_reference_policies() -> None:
    """A whole day, replayed fifteen times: a minute. For as many waits the others take as many replica-hours or more."""
    arrivals = poisson(day(1), 1)
    for make in REFERENCES.values():
        others = [replay(arrivals, make(target)) for target in TARGETS]
        for name, policy in policies().items():
            if not name.startswith("xinfer"):
                continue
            found = replay(arrivals, policy)
            hours = hours_at(found.missed, others)
            assert hours
            assert found.hours <= 1.01 * hours, name
            assert found.changes < 200, name
