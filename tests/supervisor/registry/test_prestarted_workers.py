"""Which nodes get a spare process."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.registry.prestarted_workers import PrestartedWorkers, prestart_worker
from xinfer.cluster import prestart


def node(name: str) -> dict[str, Any]:
    return {"NodeID": name, "Alive": True}


def test_each_node_once() -> None:
    spares = PrestartedWorkers()
    assert spares.new([node("a")]) == [node("a")]
    assert spares.new([node("a"), node("b")]) == [node("b")]
    assert spares.new([node("a"), node("b")]) == []


def test_node_that_comes_back() -> None:
    """It has the same name only if it is another node: Ray gives each its own."""
    spares = PrestartedWorkers()
    spares.new([node("a")])
    assert spares.new([]) == []
    assert spares.new([node("a2")]) == [node("a2")]


def test_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(prestart.PRELOAD_VARIABLE, raising=False)
    assert not prestart.wanted()
    monkeypatch.setenv(prestart.PRELOAD_VARIABLE, prestart.PRELOADED_MODULES)
    assert prestart.wanted()


async def test_node_that_does_not_answer() -> None:
    with pytest.raises(OSError, match="spare process"):
        await prestart_worker({"NodeManagerAddress": "127.0.0.1", "NodeManagerPort": 1})
