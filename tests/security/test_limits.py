"""Limits of keys, with a clock that the test sets."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.access.limits import Admission, Bucket, Limiter, duration
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


def changed(limiter: Limiter, key: ApiKey, budget_used: int = 0, **limits: int | str) -> ApiKey:
    """The key with these limits, of which the limiter has been told."""
    other = replace(key, limits=KeyLimits(**limits))  # type: ignore[arg-type]
    limiter.change(other, budget_used)
    return other


def how_many(limiter: Limiter, key: ApiKey) -> int:
    """How many requests are let in one after the other, at once."""
    count = 0
    while admitted(limiter, key):
        count += 1
    return count


def test_changed_limits_count_at_once(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(rpm=1)
    assert admitted(limiter, key)
    assert not admitted(limiter, key)
    assert admitted(limiter, changed(limiter, key, rpm=2))


def test_a_larger_limit_gives_what_it_has_more_and_no_full_bucket(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(rpm=6)
    assert how_many(limiter, key) == 6
    assert how_many(limiter, changed(limiter, key, rpm=10)) == 4


@pytest.mark.parametrize(("used", "left"), [(0, 20), (5, 15), (20, 0), (50, 0), (60, 0)])
def test_a_lower_limit_gives_what_is_left_of_it(clock: Clock, used: int, left: int) -> None:
    limiter, key = Limiter(1, clock), limited(rpm=60)
    assert [admitted(limiter, key) for _ in range(used)] == [True] * used
    key = changed(limiter, key, rpm=20)
    assert how_many(limiter, key) == left
    clock.now += 3.01
    assert how_many(limiter, key) == 1, "it fills by the new limit, and nobody waits for longer than its minute"


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(0, 20_000))
def test_a_changed_bucket_never_holds_more_than_the_limits_differ_by(old: int, new: int, used: int) -> None:
    bucket = Bucket(old, 0.0)
    bucket.level -= used
    before = bucket.level
    bucket.change(new, 0.0)
    assert bucket.level <= min(new, before + max(0, new - old))
    assert bucket.level >= min(0, before)
    assert bucket.wait_s(1) <= (1 - min(0, before)) / bucket.rate


def test_another_limit_leaves_the_others_as_they_are(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(rpm=6, tpm=600)
    admission = begin(limiter, key)
    admission.admit_tokens(600)
    admission.settle(600)
    key = changed(limiter, key, rpm=6, tpm=600, concurrency=5)
    assert dict(admission.headers())["x-ratelimit-remaining-requests"] == "5"
    with pytest.raises(RateLimited):
        begin(limiter, key).admit_tokens(1)


def test_limits_come_and_go(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(rpm=1, tpm=1, concurrency=1)
    first = begin(limiter, key)
    key = changed(limiter, key)
    assert [admitted(limiter, key) for _ in range(50)] == [True] * 50
    key = changed(limiter, key, rpm=3, concurrency=2)
    begin(limiter, key)
    with pytest.raises(RateLimited, match="at the same time"):
        begin(limiter, key)
    first.end()
    assert how_many(limiter, key) == 2


def test_tokens_under_way_are_settled_by_the_new_limit(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(tpm=600)
    admission = begin(limiter, key)
    admission.admit_tokens(100)
    key = changed(limiter, key, tpm=300)
    admission.settle(280)
    with pytest.raises(RateLimited) as refused:
        begin(limiter, key).admit_tokens(30)
    assert refused.value.headers()["retry-after"] == "2"
    begin(limiter, key).admit_tokens(20)


def test_a_debt_of_tokens_outlives_a_lower_limit(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(tpm=600)
    begin(limiter, key).settle(650)
    key = changed(limiter, key, tpm=60)
    with pytest.raises(RateLimited) as refused:
        begin(limiter, key).admit_tokens(10)
    assert refused.value.headers()["retry-after"] == "60"


def test_requests_under_way_count_when_fewer_are_allowed(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(concurrency=3)
    under_way = [begin(limiter, key) for _ in range(3)]
    key = changed(limiter, key, concurrency=1)
    for admission in under_way:
        with pytest.raises(RateLimited):
            begin(limiter, key)
        admission.end()
    begin(limiter, key)


def test_what_was_used_of_a_budget_stays_used(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(budget_tokens=100)
    begin(limiter, key).settle(60)
    limiter.demand()
    limiter.told({key.id: KeyShare(budget_used=60)})
    begin(limiter, key).settle(20)
    key = changed(limiter, key, budget_used=60, budget_tokens=80)
    with pytest.raises(BudgetExhausted, match="80 of 80"):
        begin(limiter, key)
    begin(limiter, changed(limiter, key, budget_used=60, budget_tokens=81))


def test_a_budget_for_a_key_that_had_none_begins_with_what_it_has_used(clock: Clock) -> None:
    """Wherever that was: of two supervisors one has seen the key."""
    one, other, key = Limiter(2, clock), Limiter(2, clock), limited()
    begin(one, key).settle(500)
    one.demand()
    one.told({key.id: KeyShare()})
    for limiter in (one, other):
        with pytest.raises(BudgetExhausted, match="500 of 400 tokens of this day"):
            begin(limiter, changed(limiter, key, budget_used=500, budget_tokens=400))


def test_a_budget_of_another_period_has_what_that_has_used(clock: Clock) -> None:
    limiter, key = Limiter(1, clock), limited(budget_tokens=100)
    begin(limiter, key).settle(10)
    limiter.demand()
    limiter.told({key.id: KeyShare(budget_used=10)})
    key = changed(limiter, key, budget_used=3000, budget_tokens=100, budget_period="month")
    with pytest.raises(BudgetExhausted, match="3000 of 100 tokens of this month"):
        begin(limiter, key)


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
