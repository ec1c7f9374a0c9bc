"""What a supervisor says of its use of models."""

from __future__ import annotations

import math

from supervisor.gateway.request_metrics import IdleTracker
from tests.supervisor.samples import model_status, report, table
from xinfer.messages import Usage


class Clock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_models_without_an_idle_timeout_are_told_of_while_they_are_used() -> None:
    """Somebody may have told them to sleep."""
    last_use = IdleTracker(lambda replica: int(replica == "busy"), Clock())
    idle = (model_status(uid="a", idle_timeout_s=5.0), model_status(report("r1", uid="b"), uid="b"))
    routes = table(*idle, model_status(report("busy", uid="c"), uid="c")).models
    assert last_use.usages(routes) == {"a": Usage(0, math.inf), "c": Usage(1, math.inf)}


def test_idle_since_the_last_request_ended() -> None:
    clock = Clock()
    running = {"r1": 2, "r2": 1, "elsewhere": 7}
    last_use = IdleTracker(lambda replica: running.get(replica, 0), clock)
    routes = table(model_status(report("r1"), report("r2"), report("r3"), idle_timeout_s=5.0)).models
    last_use.note("m")
    clock.now += 3
    assert last_use.usages(routes) == {"m": Usage(3, 3.0)}
    last_use.note("m")
    running.clear()
    clock.now += 1
    assert last_use.usages(routes) == {"m": Usage(0, 1.0)}


def test_models_that_are_no_more_are_forgotten() -> None:
    clock = Clock()
    last_use = IdleTracker(lambda _: 0, clock)
    routes = table(model_status(idle_timeout_s=5.0)).models
    last_use.note("m")
    assert last_use.usages({}) == {}
    assert last_use.usages(routes) == {"m": Usage(0, math.inf)}
