"""Wheels that are carried in parts."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.gpu.bring import cut
from tests.gpu.parts import NAME, SUMS, Incomplete, install


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a package called ``carried``."""
    source, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    (source / "carried").mkdir()
    (source / "carried" / "__init__.py").write_text("WEIGHT = 7\n")
    head = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    (source / "pyproject.toml").write_text(head + '[project]\nname = "carried"\nversion = "1.0"\n')
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "-w", str(wheels), str(source)], check=True, cwd=ROOT)
    return next(wheels.glob("*.whl"))


@pytest.fixture
def parts(wheel: Path, tmp_path: Path) -> Path:
    """It in parts of 300 bytes."""
    count, size = cut([wheel], tmp_path / "parts", 300)
    assert count == -(-size // 300)
    assert count > 2
    return tmp_path / "parts"


def test_joined_and_installed(parts: Path, tmp_path: Path) -> None:
    install(parts, tmp_path / "site")
    code = "import carried; print(carried.WEIGHT)"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path / "site")}, capture_output=True)
    assert done.stdout == b"7\n"


def test_installed_once(parts: Path, tmp_path: Path) -> None:
    install(parts, tmp_path / "site")
    before = (tmp_path / "site" / "carried").stat().st_mtime_ns
    install(tmp_path / "nowhere", tmp_path / "site")
    assert (tmp_path / "site" / "carried").stat().st_mtime_ns == before


def test_a_part_that_lacks_or_is_broken_is_named(parts: Path, tmp_path: Path) -> None:
    second = parts / "01" / NAME.format(1)
    second.write_bytes(b"x" * 300)
    with pytest.raises(Incomplete, match=r"wheels\.tar\.01"):
        install(parts, tmp_path / "site")
    second.unlink()
    with pytest.raises(Incomplete, match=r"wheels\.tar\.01"):
        install(parts, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_no_parts_at_all(tmp_path: Path) -> None:
    with pytest.raises(Incomplete, match=SUMS):
        install(tmp_path, tmp_path / "site")


def test_every_part_knows_all_sums(parts: Path) -> None:
    listed = [(folder / SUMS).read_text() for folder in parts.iterdir()]
    assert len(set(listed)) == 1
    for digest, name in (line.split() for line in listed[0].splitlines()):
        (file,) = parts.rglob(name)
        assert hashlib.sha256(file.read_bytes()).hexdigest() == digest
