"""A target for the time to the first token: what is learned from hits and misses, and that it does not flap."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.registry.autoscaling.autoscaler import Autoscaler, Bounds
from supervisor.registry.autoscaling.held_loads import HeldLoads
from supervisor.registry.autoscaling.load import Load
from xinfer.messages import AutoscalingConfig

STEP_S = 1.0
HOUR_S = 3600
# Enough for each load that is tried.
MOST = 80
CONFIG = AutoscalingConfig(1, MOST, target_ttft_s=0.5, upscale_delay_s=2, downscale_delay_s=60)


def test_share_of_misses_by_load() -> None:
    loads = HeldLoads()
    assert loads.largest(0.1) == float("inf")
    assert loads.largest_seen is None
    loads.hit(4.0, 100)
    loads.miss(8.0, 50)
    assert loads.largest_seen == pytest.approx(4.0, rel=0.15)
    assert loads.share_missed(3.0) == 0
    assert loads.share_missed(20.0) > 0.8
    assert 4.0 <= loads.largest(0.1) <= 8.8


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 1000), st.floats(0.1, 60)), max_size=30))
@settings(max_examples=100, deadline=None)
def test_share_of_misses_never_falls_as_the_load_grows(evidence: list[tuple[bool, float, float]]) -> None:
    loads = HeldLoads()
    for is_hit, load, seconds in evidence:
        (loads.hit if is_hit else loads.miss)(load, seconds)
    shares = [loads.share_missed(1.3**number) for number in range(-8, 30)]
    assert all(one <= other + 1e-9 for one, other in itertools.pairwise(shares))
    largest = loads.largest(0.1)
    if largest > 0.25:
        assert loads.share_missed(min(largest, 1e6) * 0.9) <= 0.1 + 1e-9


def test_evidence_loses_its_weight() -> None:
    loads = HeldLoads()
    loads.miss(4.0, 30)
    assert loads.share_missed(4.0) > 0.8
    loads.hit(1.0, 5 * HOUR_S)
    assert loads.share_missed(4.0) < 0.1


class Model:
    """Its first tokens come at once up to so many requests per replica, and late beyond; replicas are there at once.

    As in a cluster, the p90 is that of the last ten seconds.
    """

    def __init__(self, holds: float, replicas: int, config: AutoscalingConfig = CONFIG) -> None:
        self.holds = holds
        self.replicas = replicas
        self.autoscaler = Autoscaler(config)
        self.now = 0.0
        self.changes: list[tuple[float, int]] = []
        self.slow_s = 0.0
        self.longest_slow_s = 0.0
        self.lately: deque[bool] = deque(maxlen=int(10 / STEP_S))

    def live(self, seconds: float, in_flight: Callable[[int], int]) -> None:
        """``in_flight`` gives the requests of each second."""
        for number in range(int(seconds / STEP_S)):
            self.now += STEP_S
            count = in_flight(number)
            self.lately.append(count > self.holds * self.replicas)
            is_slow = sum(self.lately) > 0.1 * len(self.lately)
            self.slow_s = self.slow_s + STEP_S if is_slow else 0.0
            self.longest_slow_s = max(self.longest_slow_s, self.slow_s)
            load = Load(
                desired=self.replicas,
                ready=self.replicas,
                in_flight=count,
                running=count,
                ttft_p90_s=2.0 if is_slow else 0.1,
            )
            desired = self.autoscaler.decide(load, Bounds(1, MOST), self.now).desired
            if desired != self.replicas:
                self.changes.append((self.now, desired - self.replicas))
                self.replicas = desired

    def taken_back(self, within_s: float) -> int:
        """How often replicas were removed and then added again so soon."""
        pairs = itertools.pairwise(self.changes)
        return sum(one < 0 < other and later - at <= within_s for (at, one), (later, other) in pairs)


@given(
    holds=st.floats(1.0, 12.0),
    usual=st.integers(10, 60),
    noise=st.lists(st.integers(-3, 3), min_size=7, max_size=40),
    replicas=st.integers(1, 30),
)
@settings(max_examples=15, deadline=None)
def test_steady_load_does_not_flap(holds: float, usual: int, noise: list[int], replicas: int) -> None:
    """Two hours: a removal is taken back once at most, for what it has taught, and then no more."""
    model = Model(holds, replicas)
    model.live(HOUR_S, lambda number: usual + noise[number % len(noise)])
    model.longest_slow_s = 0.0
    model.live(HOUR_S, lambda number: usual + noise[number % len(noise)])
    assert model.taken_back(HOUR_S) <= 1
    # Enough are there: what is slow then does not last, be it a trial that fails.
    assert model.longest_slow_s <= 30


def test_what_is_left_holds_the_target() -> None:
    """Up in few steps and never down again while the load is what was too much for fewer."""
    model = Model(4.0, 1)
    model.live(1800, lambda _: 18)
    assert model.replicas == 5
    assert all(change > 0 for _, change in model.changes)
    model.live(900, lambda _: 6)
    assert model.replicas == 2
    before = len(model.changes)
    model.live(60, lambda _: 18)
    # What is known to be too much is not waited for: the whole way in one or two steps.
    assert model.replicas == 5
    assert len(model.changes) - before <= 2


def test_requests_that_become_shorter_are_noticed() -> None:
    """What was too much once is tried again after hours, and then known to hold."""
    model = Model(4.0, 1)
    model.live(1800, lambda _: 18)
    assert model.replicas == 5
    model.holds = 12.0
    model.live(8 * HOUR_S, lambda _: 18)
    assert model.replicas <= 3
