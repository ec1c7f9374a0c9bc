"""Builds xinfer's sdist and wheel, and environments that have the wheel instead of the checkout."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

_SOURCES = ("xinfer", "supervisor", "worker", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "MANIFEST.in")


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it, as ``python -m build`` makes them."""
    source = folder / "source"
    source.mkdir()
    # A copy, since setuptools writes beside what it builds, and takes along what earlier builds have left there.
    for name in _SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(source))
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    return sdist, wheel


def install(wheel: Path, folder: Path) -> Path:
    """An environment with the wheel; everything else it finds where this one has it. Returns its ``bin``."""
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--quiet", str(wheel))
    (packages,) = folder.glob("lib/python*/site-packages")
    # As a folder in a .pth file, so that this environment's own .pth files, one of which leads to the checkout, are not read.
    (packages / "others.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return folder / "bin"


def run(*argv: str, timeout_s: float = 120, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What the command prints; an assertion with its output if it fails."""
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=timeout_s, cwd=cwd, env=outside(**(env or {})), check=False
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def outside(**variables: str) -> dict[str, str]:
    """The environment of a shell that knows nothing of the checkout."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, **variables}
