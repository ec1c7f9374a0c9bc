"""What the tests of the console need beside Python: Chromium, and the packages of Node that the console is built with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .console import Console
from .errors import CommandFailed
from .steps import ROOT

CONSOLE = ROOT / "supervisor" / "console"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def prepare(console: Console) -> None:
    """Brings both if they are missing and can be had. Without them the tests of the console are skipped; in CI they fail."""
    if not any(shutil.which(name) for name in BROWSERS):
        _bring_chromium(console)
    if shutil.which("npm") and not has_packages(CONSOLE):
        console.say("Node's packages for the console (70 MB): its tests build it anew and compare")
        _try(console, ["npm", "ci", "--no-progress", "--prefix", str(CONSOLE)])


def has_packages(folder: Path) -> bool:
    """Whether `npm ci` has installed what the lock file has now; npm keeps its own record beside the packages."""
    record, lock = folder / "node_modules" / ".package-lock.json", folder / "package-lock.json"
    return record.exists() and record.stat().st_mtime >= lock.stat().st_mtime


def _bring_chromium(console: Console) -> None:
    if not shutil.which("apt-get") or os.geteuid() != 0:
        console.say("There is no Chromium, and only root can install one here: the tests of the console are skipped.")
        return
    console.say("Chromium (150 MB): the tests of the console open it")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if _try(console, ["apt-get", "update"], quiet):
        _try(console, ["apt-get", "install", "-y", "--no-install-recommends", "chromium", "fonts-wqy-microhei"], quiet)


def _try(console: Console, command: list[str], environment: dict[str, str] | None = None) -> bool:
    try:
        console.run(command, env=environment)
    except CommandFailed as failed:
        # Nothing else needs it, so that the set-up goes on.
        console.tail(failed.output)
        return False
    return True
