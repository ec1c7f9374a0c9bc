"""Which nodes get an agent, and what agents have said."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.registry import node_agents
from supervisor.registry.idle_nodes import IdleNodes
from supervisor.registry.node_agents import NodeAgents, NodeReports
from tests.supervisor.samples import node_report


def node(name: str) -> dict[str, Any]:
    return {"NodeID": name, "Alive": True}


def test_each_node_once() -> None:
    agents = NodeAgents()
    assert agents.new([node("a")]) == [node("a")]
    assert agents.new([node("a"), node("b")]) == [node("b")]
    assert agents.new([node("a"), node("b")]) == []


def test_node_that_comes_back() -> None:
    """It has the same name only if it is another node: Ray gives each its own."""
    agents = NodeAgents()
    agents.new([node("a")])
    assert agents.new([]) == []
    assert agents.new([node("a2")]) == [node("a2")]


async def test_agent_that_does_not_come_up_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    async def start(found: dict[str, Any]) -> None:
        tried.append(found["NodeID"])
        raise OSError("it did not come up")

    monkeypatch.setattr(node_agents, "_start_agent", start)
    agents = NodeAgents()
    for _ in range(2):
        for found in agents.new([node("a")]):
            await agents._serve(found)
    assert tried == ["a", "a"]


def test_nodes_of_the_autoscaler_are_left_when_they_have_had_nothing_for_a_while() -> None:
    """And tended again as soon as they have a replica."""
    head = _node_of_ray("head", resources={"node:__internal_head__": 1.0})
    mine, cloud, other = _node_of_ray("mine", group=False), _node_of_ray("cloud"), _node_of_ray("other")
    nodes = [head, mine, cloud, other]
    idle = IdleNodes(enabled=True)
    assert idle.among(nodes, {"at-other"}, 0.0) == set()
    assert idle.among(nodes, {"at-other"}, 29.0) == set()
    assert idle.among(nodes, {"at-other"}, 31.0) == {"cloud"}
    assert idle.among(nodes, {"at-cloud"}, 32.0) == set()
    assert idle.among(nodes, set(), 70.0) == {"other"}
    assert IdleNodes(enabled=False).among(nodes, set(), 1e9) == set()

    agents = NodeAgents()
    assert agents.new(nodes) == nodes
    assert agents.new(nodes, {"cloud"}) == []
    assert agents.new(nodes) == [cloud]


def _node_of_ray(name: str, *, group: bool = True, resources: dict[str, float] | None = None) -> dict[str, Any]:
    labels = {"ray.io/node-group": "gpu"} if group else {}
    return {"NodeID": name, "NodeManagerAddress": f"at-{name}", "Labels": labels, "Resources": resources or {}}


def test_latest_report_of_each_node() -> None:
    """Until it is a minute old."""
    reports = NodeReports()
    reports.take(node_report("a", memory_available=1, measured_at=100.0))
    reports.take(node_report("a", memory_available=2, measured_at=105.0))
    reports.take(node_report("b", measured_at=130.0))
    assert {name: report.memory_available for name, report in reports.latest(140.0).items()} == {"a": 2, "b": 600}
    assert set(reports.latest(166.0)) == {"b"}
    assert reports.latest(200.0) == {}
