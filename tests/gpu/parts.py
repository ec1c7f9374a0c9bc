"""The parts in which wheels are carried to a machine without a network. Needs nothing but Python."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

NAME = "wheels.tar.{:02}"
SUMS = "SHA256SUMS"
_DONE = "installed"


class Incomplete(Exception):
    """Not all parts are here, or one is broken."""


def install(parts: Path, site: Path) -> None:
    """Install the wheels of all parts, wherever in ``parts`` they are, into ``site``, once. ``Incomplete`` if a part is not."""
    if (site / _DONE).exists():
        return
    wheels = site.with_name(site.name + "-wheels")
    pieces = _whole(parts)
    joined = site.with_name(site.name + ".tar")
    with joined.open("wb") as tar:
        for piece in pieces:
            tar.write(piece.read_bytes())
    with tarfile.open(joined) as tar:
        tar.extractall(wheels, filter="data")
    joined.unlink()
    options = ("--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade", "--target", str(site))
    files = [str(wheel) for wheel in sorted(wheels.glob("*.whl"))]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *files], check=True)
    compiled = [sys.executable, "-m", "compileall", "-q", "-j", "0", str(site)]  # on all cores, as pip does not
    subprocess.run(compiled, check=False)  # some files are templates
    (site / _DONE).touch()


def _whole(parts: Path) -> list[Path]:
    sums = next(parts.rglob(SUMS), None)
    if sums is None:
        raise Incomplete(f"There is no {SUMS} in {parts}.")
    listed = [line.split() for line in sums.read_text().splitlines()]
    return [_checked(parts, name, digest) for digest, name in listed]


def _checked(parts: Path, name: str, digest: str) -> Path:
    for file in parts.rglob(name):
        if hashlib.sha256(file.read_bytes()).hexdigest() == digest:
            return file
    raise Incomplete(f"{name} is not in {parts}, or is broken.")
