"""What supervisors are told of each other."""

from __future__ import annotations

from supervisor.registry.node_supervisors import NodeSupervisors
from supervisor.registry.supervisor_loads import SupervisorLoads
from xinfer.messages import ClusterLoad


def test_one_alone_is_told_nothing() -> None:
    loads = SupervisorLoads()
    for now in range(10):
        assert loads.exchange("a", {"r1": now}, [], now) == ClusterLoad()


def test_everybody_hears_the_sum_of_the_latest_reports() -> None:
    loads = SupervisorLoads()
    loads.exchange("a", {"r1": 2, "r2": 1}, [], 0.0)
    assert loads.exchange("b", {"r2": 5}, [], 0.1) == ClusterLoad(2, {"r1": 2, "r2": 6})
    assert loads.exchange("a", {"r1": 3}, [], 0.2) == ClusterLoad(2, {"r1": 3, "r2": 5})
    assert loads.exchange("b", {}, [], 0.3) == ClusterLoad(2, {"r1": 3})


def test_one_that_is_silent_is_gone_with_its_requests() -> None:
    loads = SupervisorLoads()
    loads.exchange("a", {"r1": 2}, [], 0.0)
    assert loads.exchange("b", {"r1": 1}, [], 5.0) == ClusterLoad(2, {"r1": 3})
    assert loads.exchange("b", {"r1": 1}, [], 7.0) == ClusterLoad()
    loads.exchange("c", {}, [], 7.0)
    assert loads.exchange("b", {"r1": 1}, [], 7.1) == ClusterLoad(2, {"r1": 1})


def test_others_hear_once_where_a_conversation_has_gone() -> None:
    loads = SupervisorLoads()
    for name in "abc":
        loads.exchange(name, {}, [], 0.0)
    loads.exchange("a", {}, [(7, "r1"), (8, "r2")], 0.1)
    assert loads.exchange("b", {}, [(9, "r3")], 0.2).moved == ((7, "r1"), (8, "r2"))
    assert loads.exchange("b", {}, [], 0.3).moved == ()
    assert loads.exchange("a", {}, [], 0.4).moved == ((9, "r3"),)
    assert loads.exchange("c", {}, [], 0.5).moved == ((7, "r1"), (8, "r2"), (9, "r3"))


def test_serve_is_told_of_a_number_when_it_changes() -> None:
    supervisors = NodeSupervisors(2)
    assert supervisors.wanted(3) == 6
    assert supervisors.wanted(0) == 2, "Ray has no record of the head yet"
