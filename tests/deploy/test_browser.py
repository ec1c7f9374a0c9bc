"""When the set-up installs what the console's tests need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from setup_parts import browser
from setup_parts.console import Console


def packages(folder: Path, age_s: float) -> None:
    """A lock file, and what npm has noted ``age_s`` seconds after it."""
    lock, record = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    record.parent.mkdir()
    for number, path in enumerate((lock, record)):
        path.write_text("{}")
        os.utime(path, (1000 + number * age_s, 1000 + number * age_s))


@pytest.mark.parametrize(("age_s", "has"), [(60, True), (-60, False)])
def test_packages_are_those_of_the_lock_file(tmp_path: Path, age_s: float, has: bool) -> None:
    packages(tmp_path, age_s)
    assert browser.has_packages(tmp_path) == has


def test_nothing_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "package-lock.json").write_text("{}")
    assert not browser.has_packages(tmp_path)


def test_set_up_goes_on_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither apt-get nor npm works here; both are tried, and their output is shown."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("apt-get", "npm"):
        tool = tools / name
        tool.write_text(f"#!/bin/sh\necho {name} fails\nexit 1\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/bin")
    monkeypatch.setattr(browser, "CONSOLE", tmp_path)
    monkeypatch.setattr(browser, "BROWSERS", ("no-such-browser",))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with (tmp_path / "out").open("w+") as out:
        browser.prepare(Console(tmp_path / "setup.log", out))
        out.seek(0)
        said = out.read()
    assert "apt-get fails" in said
    assert "npm fails" in said
