"""Spare processes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from supervisor.nodes import spare_workers
from supervisor.nodes.spare_workers import SpareWorkers, start_spare_workers, wanted_on
from xinfer.cluster.environment import SPARE_WORKERS


def node(gpus: float | None) -> dict[str, Any]:
    resources = {} if gpus is None else {"GPU": gpus}
    return {"NodeID": "a", "NodeManagerAddress": "127.0.0.1", "NodeManagerPort": 1, "Resources": resources}


@pytest.mark.parametrize(("gpus", "wanted"), [(None, 1), (0.0, 1), (1.0, 1), (2.0, 2), (8.0, 2)])
def test_one_for_each_gpu_but_never_many(gpus: float | None, wanted: int) -> None:
    assert wanted_on(node(gpus)) == wanted


@dataclass
class Ray:
    """``idle`` are the counts of idle processes that are going to be found."""

    idle: list[int]
    started: list[int] = field(default_factory=list)

    async def alive(self) -> list[dict[str, Any]]:
        return [node(2)]

    async def start(self, found: dict[str, Any], count: int) -> None:
        self.started.append(count)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    """A node with two GPUs."""
    made = Ray([])
    monkeypatch.setenv(SPARE_WORKERS, "1")
    monkeypatch.setattr(spare_workers, "_QUIET_S", 0.02)
    monkeypatch.setattr(spare_workers, "alive", made.alive)
    monkeypatch.setattr(spare_workers, "start_spare_workers", made.start)
    monkeypatch.setattr(spare_workers, "_count_idle", lambda: made.idle.pop(0))
    return made


async def done(spares: SpareWorkers) -> None:
    assert spares._task
    await spares._task


async def test_what_is_missing_is_started(ray: Ray) -> None:
    """At first all, whatever Ray starts besides."""
    spares = SpareWorkers("a")
    for ray.idle in ([2], [2], [1], [0], [3]):
        spares.top_up()
        await done(spares)
    assert ray.started == [2, 1, 2]


async def test_once_for_all_that_ask_at_a_time(ray: Ray) -> None:
    """And not at once."""
    spares = SpareWorkers("a")
    for _ in range(5):
        spares.top_up()
        await asyncio.sleep(0)
    assert ray.started == []
    await done(spares)
    assert ray.started == [2]


async def test_asked_while_ray_starts_some(ray: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    spares = SpareWorkers("a")

    async def start(found: dict[str, Any], count: int) -> None:
        ray.started.append(count)
        if len(ray.started) == 1:
            spares.top_up()

    monkeypatch.setattr(spare_workers, "start_spare_workers", start)
    ray.idle = [1]
    spares.top_up()
    await done(spares)
    assert ray.started == [2, 1]


async def test_a_node_that_has_left(ray: Ray, caplog: pytest.LogCaptureFixture) -> None:
    spares = SpareWorkers("b")
    spares.top_up()
    await done(spares)
    assert ray.started == []
    assert "not alive" in caplog.text


async def test_none_without_a_warm_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SPARE_WORKERS, raising=False)
    spares = SpareWorkers("a")
    spares.top_up()
    assert spares._task is None


async def test_node_that_does_not_answer() -> None:
    with pytest.raises(OSError, match="spare process"):
        await start_spare_workers(node(None), 1)
