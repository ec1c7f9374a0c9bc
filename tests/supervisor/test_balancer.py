"""Which replica takes a request."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.balancer import Balancer
from tests.supervisor.samples import report
from xinfer.errors import ModelOverloaded

A, B, C = (report(name) for name in "abc")


def test_least_busy_first() -> None:
    balancer = Balancer(10)
    taken: Counter[str] = Counter()
    for _ in range(9):
        replica = balancer.pick([A, B, C])
        balancer.begin(replica)
        taken[replica.replica] += 1
    assert taken == {"a": 3, "b": 3, "c": 3}
    balancer.end(B)
    assert balancer.pick([A, B, C]) is B


def test_avoided_replica_is_taken_only_if_there_is_no_other() -> None:
    balancer = Balancer(10)
    balancer.begin(B)
    assert balancer.pick([A, B], avoid={"a"}) is B
    assert balancer.pick([A], avoid={"a"}) is A


def test_full_is_an_error_that_a_retry_may_cure() -> None:
    balancer = Balancer(1)
    balancer.begin(A)
    assert balancer.pick([A, B]) is B
    balancer.begin(B)
    with pytest.raises(ModelOverloaded) as caught:
        balancer.pick([A, B])
    assert caught.value.headers() == {"x-should-retry": "true", "retry-after": "1"}
    assert (balancer.in_flight("a"), balancer.in_flight("b")) == (1, 1)


@given(st.lists(st.booleans(), max_size=200))
def test_counts_are_those_of_requests_under_way(begins: list[bool]) -> None:
    """Spread stays even, no replica is over its limit, and nothing is left when all are done."""
    balancer = Balancer(5)
    running = []
    for begin in begins:
        if begin:
            try:
                replica = balancer.pick([A, B, C])
            except ModelOverloaded:
                assert len(running) == 15
                continue
            others = [balancer.in_flight(r.replica) for r in (A, B, C)]
            assert balancer.in_flight(replica.replica) == min(others)
            balancer.begin(replica)
            running.append(replica)
        elif running:
            balancer.end(running.pop(0))
        assert sum(balancer.in_flight(name) for name in "abc") == len(running)
    for replica in running:
        balancer.end(replica)
    assert [balancer.in_flight(name) for name in "abc"] == [0, 0, 0]
