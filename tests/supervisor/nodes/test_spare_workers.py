"""Spare processes."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.nodes import spare_workers
from supervisor.nodes.spare_workers import SpareWorkers, start_spare_workers, wanted_on
from xinfer.cluster import prestart


def node(gpus: float | None) -> dict[str, Any]:
    resources = {} if gpus is None else {"GPU": gpus}
    return {"NodeID": "a", "NodeManagerAddress": "127.0.0.1", "NodeManagerPort": 1, "Resources": resources}


def test_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(prestart.PRELOAD_VARIABLE, raising=False)
    assert not prestart.wanted()
    monkeypatch.setenv(prestart.PRELOAD_VARIABLE, prestart.PRELOADED_MODULES)
    assert prestart.wanted()


@pytest.mark.parametrize(("gpus", "wanted"), [(None, 1), (0.0, 1), (1.0, 1), (2.0, 2), (8.0, 2)])
def test_one_for_each_gpu_but_never_many(gpus: float | None, wanted: int) -> None:
    assert wanted_on(node(gpus)) == wanted


async def test_what_is_missing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """At first all, whatever Ray starts besides."""
    idle = iter((2, 1, 0, 3))
    started = []

    async def alive() -> list[dict[str, Any]]:
        return [node(2)]

    async def start(found: dict[str, Any], count: int) -> None:
        started.append(count)

    monkeypatch.setenv(prestart.PRELOAD_VARIABLE, prestart.PRELOADED_MODULES)
    monkeypatch.setattr(spare_workers, "alive", alive)
    monkeypatch.setattr(spare_workers, "start_spare_workers", start)
    monkeypatch.setattr(spare_workers, "_count_idle", lambda: next(idle))
    spares = SpareWorkers("a")
    await spares.top_up()
    assert started == [2]
    for _ in range(4):
        await spares.top_up()
    assert started == [2, 1, 2]
    with pytest.raises(OSError, match="not alive"):
        await SpareWorkers("b").top_up()


async def test_none_where_ray_imports_nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(prestart.PRELOAD_VARIABLE, raising=False)
    await SpareWorkers("not asked about").top_up()


async def test_node_that_does_not_answer() -> None:
    with pytest.raises(OSError, match="spare process"):
        await start_spare_workers(node(None), 1)
