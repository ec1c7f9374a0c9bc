"""What a supervisor says of its use of models."""

from __future__ import annotations

import math

from supervisor.last_use import LastUse
from tests.supervisor.samples import report, route, table
from xinfer.messages import Usage


class Clock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_only_models_with_an_idle_timeout_are_told_of() -> None:
    last_use = LastUse(lambda _: 0, Clock())
    routes = table(route(uid="a", idle_timeout_s=5.0), route(uid="b")).routes
    assert last_use.usages(routes) == {"a": Usage(0, math.inf)}


def test_idle_since_the_last_request_ended() -> None:
    clock = Clock()
    running = {"r1": 2, "r2": 1, "elsewhere": 7}
    last_use = LastUse(lambda replica: running.get(replica, 0), clock)
    routes = table(route(report("r1"), report("r2"), report("r3"), idle_timeout_s=5.0)).routes
    last_use.note("m")
    clock.now += 3
    assert last_use.usages(routes) == {"m": Usage(3, 3.0)}
    last_use.note("m")
    running.clear()
    clock.now += 1
    assert last_use.usages(routes) == {"m": Usage(0, 1.0)}


def test_models_that_are_no_more_are_forgotten() -> None:
    clock = Clock()
    last_use = LastUse(lambda _: 0, clock)
    routes = table(route(idle_timeout_s=5.0)).routes
    last_use.note("m")
    assert last_use.usages({}) == {}
    assert last_use.usages(routes) == {"m": Usage(0, math.inf)}
