"""``service``: units written, checked, and removed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from xinfer.cluster.systemd import Unit

Run = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "systemd" / "user"


def test_install_for_a_user(run: Run, config: Path) -> None:
    result = run("service", "install", "--user", "--command", sys.executable, "--", "--launch", "tiny-chat")
    unit = config / "xinfer-head.service"
    assert unit.read_text() == Unit(sys.executable, ("--launch", "tiny-chat")).text()
    assert result.exit_code == 0, result.output
    assert "systemctl --user enable --now xinfer-head.service" in result.stdout


def test_show_is_what_install_writes(run: Run) -> None:
    words = ["--command", sys.executable, "--run-as", "llm", "--drain-timeout", "60", "--", "--join", "10.0.0.1:6379"]
    expected = Unit(sys.executable, ("--join", "10.0.0.1:6379"), "llm", 60)
    assert run("service", "show", *words).stdout == expected.text()


@pytest.mark.parametrize(
    "args",
    [
        ["--command", "xinfer"],
        ["--user", "--run-as", "llm"],
        ["--", "--nothing"],
        ["--", "--routing", "random"],
        ["--", "--foreground"],
        ["--", "--models", "/nonexistent.yaml"],
    ],
)
def test_misuse_writes_nothing(run: Run, config: Path, args: list[str]) -> None:
    given = args if "--command" in args else ["--command", sys.executable, *args]
    result = run("service", "install", "--user", *given)
    assert result.exit_code == 2, result.output
    assert not config.exists()


def test_uninstall(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert run("service", "install", "--user", "--command", sys.executable).exit_code == 0
    assert run("service", "uninstall", "--user", "--node").exit_code == 1
    assert run("service", "uninstall", "--user").exit_code == 0
    assert list(config.iterdir()) == []
