"""What is found of installed plugins when nobody looks a second time."""

from __future__ import annotations

import importlib.metadata

import pytest

from worker.vllm_patches.entry_points import remember_entry_points


def test_the_same_are_found_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    look = importlib.metadata.entry_points
    monkeypatch.setattr(importlib.metadata, "entry_points", look)
    asked = [{"group": "console_scripts"}, {"group": "console_scripts", "name": "xinfer"}, {"group": "vllm.none"}]
    found = [list(look(**each)) for each in asked]
    groups = look().groups
    assert found[1]

    remember_entry_points()

    def looks() -> None:
        raise AssertionError("it looks again")

    monkeypatch.setattr(importlib.metadata, "distributions", looks)
    assert [list(importlib.metadata.entry_points(**each)) for each in asked] == found
    assert importlib.metadata.entry_points().groups == groups
