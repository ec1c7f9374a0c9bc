"""Spare processes."""

from __future__ import annotations

import pytest

from supervisor.registry.prestarted_workers import prestart_worker
from xinfer.cluster import prestart


def test_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(prestart.PRELOAD_VARIABLE, raising=False)
    assert not prestart.wanted()
    monkeypatch.setenv(prestart.PRELOAD_VARIABLE, prestart.PRELOADED_MODULES)
    assert prestart.wanted()


async def test_node_that_does_not_answer() -> None:
    with pytest.raises(OSError, match="spare process"):
        await prestart_worker({"NodeManagerAddress": "127.0.0.1", "NodeManagerPort": 1})
