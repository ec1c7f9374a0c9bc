"""What the autoscaler decides, and what holds of any sequence of its decisions."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from supervisor.registry.autoscaling.autoscaler import Autoscaler, Bounds, bounds
from supervisor.registry.autoscaling.load import Load
from tests.supervisor.registry.autoscaling.loads import TICK_S, Cluster, poisson, run
from xinfer.messages import AutoscalingConfig
from xinfer.schedules import parse_schedule

MANY = Bounds(1, 100)
BY_REQUESTS = AutoscalingConfig(1, 100, target_ongoing_requests=4, upscale_delay_s=2, downscale_delay_s=10)


class Model:
    """One whose replicas are ready at once; ``see`` lets a load be there for some seconds."""

    def __init__(self, config: AutoscalingConfig, replicas: int = 1) -> None:
        self.autoscaler = Autoscaler(config)
        self.replicas = replicas
        self.now = 0.0
        self.history: list[int] = []
        self.reason = ""

    def see(self, seconds: float, limits: Bounds = MANY, *, pressed: bool = False, **facts: float) -> int:
        end = self.now + seconds
        while self.now < end:
            self.now += TICK_S
            load = Load(desired=self.replicas, ready=self.replicas)
            load = replace(load, **facts)
            verdict = self.autoscaler.decide(load, limits, self.now, pressed=pressed)
            if verdict.desired != self.replicas:
                self.history.append(verdict.desired)
                self.replicas, self.reason = verdict.desired, verdict.reason
        return self.replicas


def test_up_after_the_delay_and_down_after_the_longer_one() -> None:
    model = Model(BY_REQUESTS)
    assert model.see(1.5, in_flight=7) == 1
    assert model.see(1.5, in_flight=7) == 2
    assert model.reason == "7 requests in flight, 4 per replica are the target"
    assert model.see(9, in_flight=1) == 2
    assert model.see(4, in_flight=1) == 1
    assert "for 10 s 1 would have been enough" in model.reason


def test_three_times_the_load_is_decided_within_three_seconds() -> None:
    for config in (BY_REQUESTS, replace(BY_REQUESTS, target_ongoing_requests=None)):
        model = Model(config)
        model.see(20, in_flight=1, running=1)
        assert model.see(3, in_flight=12, running=4, waiting=8, full=1, running_in_full=4) == 3
        assert model.history == [3]


def test_waiting_requests_do_not_wait_for_the_delay() -> None:
    model = Model(AutoscalingConfig(1, 8, upscale_delay_s=600))
    assert model.see(1.5, in_flight=12, running=4, waiting=8, full=1, running_in_full=4) == 3
    assert "8 requests wait, and all replicas are full with 4 running in each" in model.reason


def test_the_first_step_counts_what_the_rate_will_bring() -> None:
    """Two requests per second of two seconds each are four under way; three times the rate will be twelve."""
    model = Model(AutoscalingConfig(1, 8))
    model.see(300, in_flight=4, running=4, arrivals_per_s=2.0)
    assert model.see(1, in_flight=6, running=4, waiting=2, full=1, running_in_full=4, arrivals_per_s=6.0) == 4


def test_replicas_on_their_way_are_waited_for() -> None:
    model = Model(AutoscalingConfig(1, 8, upscale_delay_s=600), replicas=2)
    busy = {"in_flight": 40, "running": 4, "waiting": 36, "full": 1, "running_in_full": 4}
    assert model.see(30, ready=1, starting=1, **busy) == 2


def test_an_engine_that_is_full_beside_one_that_is_not_is_no_reason() -> None:
    model = Model(AutoscalingConfig(1, 8), replicas=2)
    assert model.see(30, in_flight=9, running=6, waiting=3, full=1, running_in_full=4) == 2


def test_refused_requests() -> None:
    model = Model(AutoscalingConfig(1, 8))
    assert model.see(1, in_flight=4, running=4, waiting=3) == 2
    assert "refused" in model.reason


def test_a_full_cache() -> None:
    model = Model(AutoscalingConfig(1, 8))
    assert model.see(3, in_flight=3, running=3, kv_cache_usage=0.95) == 2
    assert "95% of the KV cache" in model.reason


def test_nothing_is_removed_while_somebody_is_not_heard() -> None:
    model = Model(BY_REQUESTS, replicas=3)
    assert model.see(60, is_whole=False) == 3
    assert model.see(9) == 3
    assert model.see(4) == 1


def test_load_about_a_threshold_changes_nothing() -> None:
    model = Model(BY_REQUESTS)
    for _ in range(200):
        model.see(1, in_flight=4)
        model.see(1, in_flight=5)
    assert model.history == []


def test_bounds_hold_at_once() -> None:
    model = Model(BY_REQUESTS)
    assert model.see(0.5, Bounds(2, 5, "by the schedule 'x'")) == 2
    assert model.reason == "at least 2 by the schedule 'x'"
    assert model.see(60, Bounds(2, 5), in_flight=400) == 5
    assert model.see(0.5, Bounds(0, 3), in_flight=400) == 3
    assert model.see(60, Bounds(0, 3)) == 1, "sleep takes the last one"


def test_under_pressure_a_surplus_goes_early() -> None:
    model = Model(replace(BY_REQUESTS, downscale_delay_s=600), replicas=3)
    assert model.see(60, in_flight=5) == 3
    assert model.see(1, in_flight=5, pressed=True) == 2
    assert "other models wait for its GPUs" in model.reason


def test_replicas_that_do_not_come_up_are_not_asked_for_at_once_again() -> None:
    model = Model(BY_REQUESTS)
    model.see(3, in_flight=8)
    model.replicas = 1
    model.autoscaler.failed(model.now)
    assert model.see(29, in_flight=8) == 1
    assert model.see(4, in_flight=8) == 2
    model.replicas = 1
    model.autoscaler.failed(model.now)
    assert model.see(59, in_flight=8) == 1


def test_ttft_adds_while_it_is_over_the_target_and_keeps_what_holds_it() -> None:
    model = Model(AutoscalingConfig(1, 8, target_ttft_s=0.5, upscale_delay_s=2, downscale_delay_s=20))
    assert model.see(15, in_flight=10, ttft_p90_s=0.9) >= 2
    assert model.reason == "p90 TTFT is 0.90 s, the target is 0.5 s"
    grown = model.replicas
    held = model.see(60, in_flight=10, ttft_p90_s=0.3)
    assert held == grown, "fewer would have as much to do as those that were too slow"
    assert model.see(60, in_flight=2, ttft_p90_s=0.1) == 1


def test_ttft_that_was_never_measured_keeps_what_is_used_and_not_what_is_idle() -> None:
    model = Model(AutoscalingConfig(1, 8, target_ttft_s=0.5, downscale_delay_s=20), replicas=3)
    assert model.see(60, in_flight=1) == 3
    assert model.see(60, in_flight=0) == 1


def test_ttft_over_the_target_without_load_adds_nothing() -> None:
    model = Model(AutoscalingConfig(1, 8, target_ttft_s=0.05))
    assert model.see(60, in_flight=0, ttft_p90_s=2.0) == 1


@pytest.mark.parametrize(
    ("at", "least", "most"),
    [("2026-11-27 09:00", 2, 9), ("2026-11-27 21:00", 1, 9), ("2026-11-28 09:00", 0, 1), ("2026-11-30 07:59", 1, 9)],
)
def test_schedules(at: str, least: int, most: int) -> None:
    schedules = ("Mon-Fri 08:00-20:00 min=2", "Sat,Sun min=0 max=1")
    config = AutoscalingConfig(1, 9, schedules=tuple(map(parse_schedule, schedules)))
    found = bounds(config, datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert (found.least, found.most) == (least, most)


def test_ten_minute_square_wave_makes_the_needed_changes_only() -> None:
    """Each half takes longer than the delays: up once or in two steps, down once, in every period."""
    rates = ([3.5] * 600 + [0.5] * 600) * 2
    cluster = Cluster(slots=8, service_s=4)
    config = AutoscalingConfig(1, 8, target_ongoing_requests=7, upscale_delay_s=2, downscale_delay_s=90)
    autoscaler = Autoscaler(config)
    desired = run(
        cluster, poisson(rates, seed=3), lambda each: autoscaler.decide(each.load(), Bounds(1, 8), each.now).desired
    )
    turns = _turns(desired)
    assert turns <= 3, "up, down, up, down"


@pytest.mark.parametrize("config", [BY_REQUESTS, AutoscalingConfig(1, 100)], ids=["target", "engines"])
def test_ramp_goes_up_and_down_once(config: AutoscalingConfig) -> None:
    """A load that grows for twenty minutes and falls for twenty, as arrivals by chance have it."""
    rates = [number / 300 for number in range(2400)]
    cluster = Cluster(slots=8, service_s=4)
    autoscaler = Autoscaler(replace(config, downscale_delay_s=120))
    desired = run(
        cluster,
        poisson([*rates, *reversed(rates)], seed=5),
        lambda each: autoscaler.decide(each.load(), Bounds(1, 20), each.now).desired,
    )
    assert max(desired) >= 4
    assert _turns(desired) == 1
    assert sum(wait > 5 for wait in cluster.waits) / len(cluster.waits) < 0.01


def _turns(values: list[int]) -> int:
    """How often the direction of change changes."""
    steps = [after - before for before, after in itertools.pairwise(values) if after != before]
    return sum((one > 0) != (two > 0) for one, two in itertools.pairwise(steps))


class AnyLoad(RuleBasedStateMachine):
    """Any load, with any bounds, seen twice a second by an autoscaler whose replicas are there at once."""

    @initialize(
        up=st.sampled_from([0.0, 1.0, 2.0, 5.0]),
        down=st.sampled_from([0.0, 3.0, 10.0]),
        requests=st.sampled_from([None, 1.0, 4.0]),
        ttft=st.sampled_from([None, 0.5]),
    )
    def begin(self, up: float, down: float, requests: float | None, ttft: float | None) -> None:
        config = AutoscalingConfig(0, 6, upscale_delay_s=up, downscale_delay_s=down)
        if ttft:
            config = replace(config, target_ttft_s=ttft)
        else:
            config = replace(config, target_ongoing_requests=requests)
        self.config = config
        self.autoscaler = Autoscaler(config)
        self.now = 0.0
        self.replicas = 1
        self.limits = Bounds(0, 6)
        self.needs: deque[tuple[float, int]] = deque()

    @rule(
        in_flight=st.integers(0, 60),
        slots=st.integers(1, 10),
        ttft=st.sampled_from([None, 0.1, 0.45, 3.0]),
        whole=st.booleans(),
        ticks=st.integers(1, 30),
    )
    def see(self, in_flight: int, slots: int, ttft: float | None, whole: bool, ticks: int) -> None:
        for _ in range(ticks):
            self.now += TICK_S
            running = min(in_flight, slots * self.replicas)
            waiting = in_flight - running
            load = Load(
                desired=self.replicas,
                ready=self.replicas,
                in_flight=in_flight,
                running=running,
                waiting=waiting,
                full=self.replicas if waiting else 0,
                running_in_full=running if waiting else 0,
                kv_cache_usage=running / slots / 2,
                ttft_p90_s=ttft,
                is_whole=whole,
            )
            verdict = self.autoscaler.decide(load, self.limits, self.now)
            self._check(load, verdict.desired)
            assert verdict.desired == self.replicas or verdict.reason
            self.replicas = verdict.desired

    def _check(self, load: Load, desired: int) -> None:
        need = self.autoscaler.need
        self.needs.append((self.now, need if load.is_whole else max(need, load.desired)))
        least, most = max(1, self.limits.least), self.limits.most
        assert least <= desired <= most
        if desired > load.desired and load.desired >= least:
            assert desired <= need, "never more than is needed now"
        if desired < load.desired <= most:
            recent = [count for at, count in self.needs if at >= self.now - self.config.downscale_delay_s]
            assert desired >= max(recent), "never fewer than was needed within the delay"
            assert self.now - self.needs[0][0] >= self.config.downscale_delay_s
            assert load.is_whole

    @rule(least=st.integers(0, 6), more=st.integers(0, 6))
    def limit(self, least: int, more: int) -> None:
        self.limits = Bounds(least, min(6, max(1, least + more)))


TestAnyLoad = AnyLoad.TestCase
TestAnyLoad.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
