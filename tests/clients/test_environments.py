"""The environments themselves: made once, anew when broken, and by one at a time."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients import environments


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own, with one environment that has nothing in it."""
    (tmp_path / "empty.txt").write_text("# nothing\n")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_made_once_by_whoever_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[Path] = []
    build = environments._build
    monkeypatch.setattr(environments, "_build", lambda folder, pins: (builds.append(folder), build(folder, pins)))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(environments.python_of, ["empty"] * 2)
    assert first == second == environments.python_of("empty")
    assert len(builds) == 1
    prefix = subprocess.run([first, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert Path(prefix.stdout.strip()) == first.parent.parent


def test_cut_off_or_broken_is_made_anew() -> None:
    python = environments.python_of("empty")
    (python.parent.parent / environments._COMPLETE).unlink()
    (python.parent / "left-over").touch()
    assert environments.python_of("empty") == python
    assert not (python.parent / "left-over").exists()
    python.unlink()
    assert environments.python_of("empty").exists()


def test_other_pins_are_another_environment(tmp_path: Path) -> None:
    before = environments._folder("empty")
    (tmp_path / "empty.txt").write_text("# nothing, in other words\n")
    assert environments._folder("empty") == before
    (tmp_path / "empty.txt").write_text("click==8.1.8\n")
    assert environments._folder("empty") != before


def test_what_cannot_be_installed_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(f"{tmp_path}/no-such-package\n")
    with pytest.raises(RuntimeError, match="no-such-package"):
        environments.python_of("empty")
    assert environments.names() == ["empty"]
