"""``backup`` and ``restore`` on this machine's ``XINFER_HOME``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from supervisor.registry.store import Store
from xinfer import registry_file
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.messages import ModelSpec

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XINFER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_there_and_back(run: Run, home: Path, tmp_path: Path) -> None:
    copy = str(tmp_path / "copy.sqlite")
    assert "nothing has been launched" in run("backup", copy).stderr
    store = Store(registry_file.file_in(home))
    store.save(ModelSpec("m", "f", "p"))
    store.close()
    assert run("backup", copy).stdout == f"Wrote {copy}: 1 model.\n"
    assert run("backup", copy).exit_code == 1
    registry_file.remove(home)
    assert json.loads(run("restore", copy, "--json").stdout) == {"file": copy, "models": 1}
    store = Store(registry_file.file_in(home))
    assert [kept.spec.uid for kept in store.load()] == ["m"]
    store.close()


def test_no_restore_under_a_cluster(run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = ClusterRecord("x", None, "127.0.0.2:6379", 0.0)
    monkeypatch.setattr(NodeLifecycle, "running", lambda _: record)
    (tmp_path / "copy").touch()
    result = run("restore", str(tmp_path / "copy"))
    assert result.exit_code == 1
    assert "xinfer stop" in result.stderr
    assert list(home.glob("*")) == []
