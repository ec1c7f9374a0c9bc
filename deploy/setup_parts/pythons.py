"""A Python that xinfer supports, and the virtual environment made with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterable, Optional, Tuple

from .errors import SetupFailed

SUPPORTED = ((3, 13), (3, 12), (3, 11))
MAKES_VENVS = ("venv", "ensurepip")
PROBE = """
import sys
from importlib.util import find_spec
print(*sys.version_info[:3], int(all(map(find_spec, sys.argv[1:]))))
"""

Version = Tuple[int, int, int]
Probe = Callable[[str], Optional[Tuple[Version, bool]]]
"""The version of a Python, and whether it has the modules asked for; None for what doesn't run."""


def probe(python: str, modules: Iterable[str] = MAKES_VENVS) -> tuple[Version, bool] | None:
    command = [python, "-I", "-c", PROBE, *modules]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:  # a pyenv shim of a version that is not switched on, for one
        return None
    major, minor, patch, ready = (int(word) for word in done.stdout.split())
    return (major, minor, patch), bool(ready)


def candidates() -> list[str]:
    """The running Python (of a virtual environment: the one it was made with), then those on the PATH, newest first."""
    named = (shutil.which("python{}.{}".format(*version)) for version in SUPPORTED)
    return [getattr(sys, "_base_executable", sys.executable), *filter(None, named)]


def pick(pythons: Iterable[str], probe: Probe = probe) -> str:
    """The first Python that is supported and can make an environment; raises SetupFailed with what to install."""
    unready: list[Version] = []
    for python in pythons:
        found = probe(python)
        if found is None or found[0][:2] not in SUPPORTED:
            continue
        if found[1]:
            return python
        unready.append(found[0])
    if unready:
        package = "python{}.{}-venv".format(*unready[0])
        raise SetupFailed(
            "Python {}.{} is here but cannot make virtual environments (its modules venv and ensurepip are missing). "
            "On Debian and Ubuntu: sudo apt install {}".format(*unready[0][:2], package)
        )
    raise SetupFailed(
        "xinfer needs Python 3.11, 3.12 or 3.13, and none is on the PATH (this is Python {}.{}). "
        "On Debian and Ubuntu: sudo apt install python3 python3-venv; elsewhere see python.org/downloads".format(
            *sys.version_info[:2]
        )
    )


def version_of(venv: Path) -> Version | None:
    """The version of the Python in a virtual environment; None where it is missing, unsupported or without pip."""
    found = probe(str(venv / "bin" / "python"), ["pip"])
    return found[0] if found and found[1] and found[0][:2] in SUPPORTED else None
