"""What an engine's process sees to while it imports."""

from __future__ import annotations

import os

import pytest

from worker.engine_server import no_builds

NAME = "HUMMING_DISABLE_PARALLEL_BUILD"


def test_no_builds_while_importing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if an import fails; afterwards the engine builds as it would by itself."""
    monkeypatch.delenv(NAME, raising=False)
    seen: list[str] = []

    def fail() -> None:
        seen.append(os.environ[NAME])
        raise ImportError

    with pytest.raises(ImportError), no_builds():
        fail()
    assert seen == ["1"]
    assert NAME not in os.environ


def test_who_sets_it_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "0")
    with no_builds():
        assert os.environ[NAME] == "0"
    assert os.environ[NAME] == "0"
