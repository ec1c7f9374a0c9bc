"""Virtual environments for clients whose pins exclude each other, or ours: made once per user and kept in the cache folder."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
BUILD_TIMEOUT_S = 600.0
_COMPLETE = "complete"
"""The file that is written last: an environment without it was cut off and is made anew."""


def names() -> list[str]:
    """What environments there are: one for each file of exact pins."""
    return sorted(file.stem for file in REQUIREMENTS.glob("*.txt"))


def python_of(name: str) -> Path:
    """The Python of environment ``name``, which has exactly the packages of its file; made now if it is not there.

    Whoever asks while it is being made, in this process or another, waits for it.
    """
    folder = _folder(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        python = folder / "bin" / "python"
        if not (folder / _COMPLETE).exists() or not _runs(python):
            _build(folder, REQUIREMENTS / f"{name}.txt")
        return python


def _folder(name: str) -> Path:
    """Where it is kept, by what is in it: other pins or another Python are another environment."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    pins = sorted(line for line in lines if not line.startswith("#"))
    facts = (pins, sys.version, sys.base_prefix, platform.machine())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "xinfer-tests" / f"{name}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold the file's lock, which the kernel gives back if the holder dies."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _runs(python: Path) -> bool:
    return python.exists() and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


def _build(folder: Path, requirements: Path) -> None:
    """Make it in its final place, since the paths in its scripts are absolute."""
    shutil.rmtree(folder, ignore_errors=True)
    _run("-m", "venv", "--without-pip", str(folder))
    # Modules are compiled when they are first imported: most never are.
    options = ["--no-deps", "--no-compile", "--quiet", "--disable-pip-version-check"]
    _run("-m", "pip", "--python", str(folder), "install", *options, "--requirement", str(requirements))
    (folder / _COMPLETE).touch()


def _run(*words: str) -> None:
    """Run this Python behind other work: builds go on beside the tests."""
    command = ["nice", "-n", "10", sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    for each in sys.argv[1:]:
        with contextlib.suppress(RuntimeError):  # whoever asks for it will hear
            python_of(each)
