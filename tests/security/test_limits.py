"""Limits of keys, with a clock that the test sets."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from supervisor.access.limits import Admission, Limiter, duration
from supervisor.registry.shares import Shares
from tests.security.test_keys import made
from xinfer.errors import BudgetExhausted, RateLimited
from xinfer.messages import ApiKey, KeyLimits, KeyShare


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limited(**limits: int | str) -> ApiKey:
    return made(limits=KeyLimits(**limits))[0]  # type: ignore[arg-type]


def begin(limiter: Limiter, key: ApiKey) -> Admission:
    admission = limiter.arrive(key)
    limiter.begin(admission)
    return admission


def admitted(limiter: Limiter, key: ApiKey) -> bool:
    try:
        begin(limiter, key).end()
    except RateLimited:
        return False
    return True


def test_requests_per_minute(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(rpm=6)
    assert [admitted(limiter, key) for _ in range(8)] == [True] * 6 + [False] * 2
    with pytest.raises(RateLimited) as refused:
        begin(limiter, key)
    assert refused.value.headers()["retry-after"] == "10"
    clock.now += 9.9
    assert not admitted(limiter, key)
    clock.now += 0.2
    assert admitted(limiter, key)
    assert not admitted(limiter, key)


def test_tokens_are_admitted_by_the_estimate_and_settled_by_use(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(tpm=600)
    first = begin(limiter, key)
    first.admit_tokens(100)
    first.settle(700)
    first.end()
    second = begin(limiter, key)
    with pytest.raises(RateLimited) as refused:
        second.admit_tokens(100)
    assert refused.value.headers()["retry-after"] == "20"
    clock.now += 20
    second.admit_tokens(100)
    second.settle(0)
    third = begin(limiter, key)
    third.admit_tokens(100)


def test_a_prompt_that_is_larger_than_the_limit_waits_for_the_full_minute(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(tpm=60)
    begin(limiter, key).admit_tokens(1000)
    with pytest.raises(RateLimited):
        begin(limiter, key).admit_tokens(1)


def test_requests_at_the_same_time(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(concurrency=2)
    first = begin(limiter, key)
    begin(limiter, key)
    with pytest.raises(RateLimited):
        begin(limiter, key)
    first.end()
    begin(limiter, key)


def test_budget_is_of_the_whole_cluster(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(budget_tokens=100)
    admission = begin(limiter, key)
    admission.settle(60)
    assert limiter.demand() == {key.id: 1}
    begin(limiter, key).settle(10)
    limiter.told({key.id: KeyShare(budget_used=85)})
    begin(limiter, key).settle(5)
    with pytest.raises(BudgetExhausted) as refused:
        begin(limiter, key)
    assert (refused.value.status, refused.value.code) == (429, "insufficient_quota")
    assert refused.value.headers()["x-should-retry"] == "false"


def test_changed_limits_count_at_once(clock: Clock) -> None:
    from dataclasses import replace

    limiter, key = Limiter(1, clock), limited(rpm=1)
    assert admitted(limiter, key)
    assert not admitted(limiter, key)
    assert admitted(limiter, replace(key, limits=KeyLimits(rpm=2)))


def test_headers_are_those_of_openai(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(rpm=60, tpm=6000)
    admission = begin(limiter, key)
    admission.admit_tokens(100)
    assert dict(admission.headers()) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "5900",
        "x-ratelimit-reset-tokens": "1s",
    }
    assert begin(limiter, limited(concurrency=1)).headers() == []


@pytest.mark.parametrize(("seconds", "text"), [(0, "0ms"), (0.12, "120ms"), (1, "1s"), (59.2, "1m0s"), (90, "1m30s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (10, 1, 1, 1), (1, 0, 0, 0)], ids=["even", "uneven", "one"])
@pytest.mark.parametrize("rpm", [600, 6000])
def test_four_supervisors_give_out_what_one_would(
    clock: Clock, weights: tuple[int, ...], rpm: int, figures: list[str]
) -> None:
    """Twice the limit is asked for, wherever it comes."""
    key = limited(rpm=rpm)
    alone = _admitted_in_a_minute(clock, [Limiter(1, clock)], (1,), key, rpm * 2, lambda: None)

    limiters = [Limiter(4, clock) for _ in weights]
    shares = Shares()

    def report() -> None:
        for number, limiter in enumerate(limiters):
            demand = limiter.demand()
            shares.hear(f"s{number}", demand, clock.now)
            limiter.told({each: KeyShare(share=shares.of(each, f"s{number}", clock.now)) for each in demand})

    together = _admitted_in_a_minute(clock, limiters, weights, key, rpm * 2, report)
    figures.append(f"{rpm} requests per minute, weights {weights}: one admits {alone}, four admit {together}")
    assert abs(together - alone) <= 0.05 * alone


def test_a_larger_share_is_no_second_burst(clock: Clock) -> None:
    """One supervisor reports first and gets everything; what the other gives out meanwhile must not be given out twice."""
    key = limited(rpm=60)
    first, second = Limiter(2, clock), Limiter(2, clock)
    count = sum(admitted(first, key) for _ in range(15))
    first.told({key.id: KeyShare(share=1.0)})
    count += sum(admitted(each, key) for each in (first, second) for _ in range(100))
    assert count == 60


def _admitted_in_a_minute(
    clock: Clock,
    limiters: list[Limiter],
    weights: tuple[int, ...],
    key: ApiKey,
    asked_per_minute: int,
    report: Callable[[], None],
) -> int:
    """How many are let in of those of one minute, after four minutes in which the first bursts are used up."""
    draw = random.Random(1)
    count = 0
    steps = 600
    for step in range(5 * steps):
        clock.now += 60 / steps
        if step % 5 == 0:
            report()
        for _ in range(asked_per_minute // steps):
            (limiter,) = draw.choices(limiters, weights)
            count += admitted(limiter, key) and step >= 4 * steps
    return count
