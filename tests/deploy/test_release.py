"""What keeps a commit from being released."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from release import problems, version_of

import xinfer
from tests.conftest import ROOT

FILES = (
    "xinfer/__init__.py",
    "CHANGELOG.md",
    "deploy/helm/xinfer/Chart.yaml",
    "pyproject.toml",
    "deploy/locks/cpu.txt",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_this_one_could_be_released(root: Path) -> None:
    assert version_of(root) == xinfer.__version__
    assert problems(root, "", ["v0.0.1"]) == []


def test_state_of_git(root: Path) -> None:
    assert len(problems(root, " M README.md", [f"v{xinfer.__version__}"])) == 2


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        ("CHANGELOG.md", f"## {xinfer.__version__}", "## 9.9.9", "CHANGELOG.md"),
        ("deploy/helm/xinfer/Chart.yaml", f"appVersion: {xinfer.__version__}", "appVersion: 9.9.9", "appVersion"),
        ("deploy/locks/cpu.txt", "\npsutil==", "\nnot-psutil==", "psutil"),
    ],
)
def test_files_that_do_not_agree(root: Path, name: str, before: str, after: str, said: str) -> None:
    text = (root / name).read_text()
    assert before in text
    (root / name).write_text(text.replace(before, after, 1))
    (problem,) = problems(root, "", [])
    assert said in problem
