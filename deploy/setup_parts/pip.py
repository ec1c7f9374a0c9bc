"""Packages by pip, with whatever index pip is configured for tried first."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Callable, Dict, List, Optional

from .errors import CommandFailed, SetupFailed
from .watch import Watch

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own index of CPU builds: the versions that end in +cpu are not on the public package index."""

# pip would compile one file after the other: half of its time.
INSTALL = ("install", "--progress-bar", "off", "--no-compile")

MISSING = re.compile(r"No matching distribution found for torch\b")

HINTS = (
    ("No space left on device", "The disk is full."),
    (
        "CERTIFICATE_VERIFY_FAILED|SSLError",
        "pip does not trust the index's certificate: pip config set global.cert FILE",
    ),
    (
        "Read timed out|ReadTimeoutError",
        "The index is slow. Try again with PIP_DEFAULT_TIMEOUT=180 in the environment.",
    ),
    (
        "name resolution|Name or service|ConnectionError|Network is unreachable|ConnectTimeout",
        "pip cannot reach its index: check the network, and `pip config list` for a mirror that is gone.",
    ),
    (r"No matching distribution found for (\S+)", "pip's index has no {} for this Python and machine."),
    (
        "Failed building wheel for",
        "A package had to be built here and that failed: another of Python 3.11 to 3.13 may do.",
    ),
)
"""A pattern in what pip writes, and what to tell; the first that matches counts."""

Run = Callable[[List[str], Optional[Watch], Dict[str, str]], str]
"""Runs a command to its end and gives back what it wrote; raises CommandFailed."""


class Pip:
    """The pip of one virtual environment."""

    def __init__(self, python: Path, scratch: Path, run: Run, say: Callable[[str], None] = print) -> None:
        self.python, self.scratch, self.run, self.say = python, scratch, run, say

    def install(self, *arguments: str, packages: int = 0) -> None:
        """Installs, or raises SetupFailed with a hint; `packages` is how many there will be, for the progress shown."""
        try:
            self._pip(*INSTALL, *arguments, packages=packages)
        except CommandFailed as failed:
            raise SetupFailed(hint(failed.output)) from failed

    def install_torch(self, lock: Path) -> None:
        """Installs the CPU build of torch from where pip is configured to look, else from PyTorch's own index."""
        arguments = [*INSTALL, "--no-deps", "-r", str(lock)]
        try:
            self._pip(*arguments, packages=1)
        except CommandFailed as failed:
            if not MISSING.search(failed.output):
                raise SetupFailed(hint(failed.output)) from failed
            self.say("      not where pip is set to look: trying PyTorch's own index")
            self.install("--no-deps", "--index-url", TORCH_INDEX, "-r", str(lock), packages=1)

    def compile(self) -> None:
        """Compiles what has been installed, on all cores; files that are for other Pythons stay as they are."""
        packages = self.python.parent.parent / "lib"
        command = [str(self.python), "-I", "-m", "compileall", "-qq", "-j", "0", str(packages)]
        with suppress(CommandFailed):
            self.run(command, None, dict(os.environ))

    def uninstall(self, name: str) -> None:
        """Removes a package; fine where it is not installed."""
        self._pip("uninstall", "--yes", name)

    def _pip(self, *arguments: str, packages: int = 0) -> None:
        command = [str(self.python), "-I", "-m", "pip", "--no-input", "--disable-pip-version-check", *arguments]
        environment = {**os.environ, "TMPDIR": str(self.scratch), "PIP_USER": "0", "PYTHONUNBUFFERED": "1"}
        self.run(command, Watch(packages, self.scratch, self.python.parent.parent), environment)


def hint(output: str) -> str:
    """What to try, judged by what pip wrote."""
    for pattern, advice in HINTS:
        found = re.search(pattern, output)
        if found:
            return advice.format(*found.groups())
    return "What pip says is above."
