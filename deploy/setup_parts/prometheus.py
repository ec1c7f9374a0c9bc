"""Debian's Prometheus for the tests, unpacked into the environment: not installed, so no root is needed and no service starts."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Callable, Dict, List, Optional

from .errors import CommandFailed, SetupFailed
from .watch import Watch

PACKAGE = "prometheus"
Run = Callable[[List[str], Optional[Watch], Optional[Dict[str, str]]], str]


def install_prometheus(environment: Path, run: Run, say: Callable[[str], None]) -> None:
    """Puts `prometheus` and `promtool` into the folder `prometheus` of the environment, unless they are at hand.

    Where that cannot be done it says so and goes on: the tests that need them are skipped, and fail where `CI` is set.
    """
    folder = environment / PACKAGE
    tools = folder / "usr" / "bin"
    if (tools / "promtool").exists() or (shutil.which("prometheus") and shutil.which("promtool")):
        return
    say("Prometheus for the tests (20 MB), from Debian's packages")
    try:
        with tempfile.TemporaryDirectory(dir=str(environment), prefix="setup-") as scratch:
            run(["dpkg-deb", "-x", str(download(Path(scratch), run)), str(folder)], None, None)
    except (CommandFailed, SetupFailed, OSError) as failed:
        say(
            f"      not installed, tests with Prometheus will be skipped: {str(failed).strip() or type(failed).__name__}"
        )


def download(scratch: Path, run: Run) -> Path:
    """The package's file; with lists of packages of its own if the machine has none."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SetupFailed("this machine has no apt-get; put prometheus and promtool on the PATH.")
    at = f"cd {shlex.quote(str(scratch))} && exec apt-get"
    own = " ".join(map(shlex.quote, _own_lists(scratch)))
    try:
        _shell(run, f"{at} download {PACKAGE}")
    except CommandFailed:
        _shell(run, f"{at} {own} update")
        _shell(run, f"{at} {own} download {PACKAGE}")
    found = sorted(scratch.glob(f"{PACKAGE}_*.deb"))
    if not found:
        raise SetupFailed("apt-get gave no package.")
    return found[-1]


def _own_lists(scratch: Path) -> list[str]:
    """apt's options for lists that no root is needed for."""
    for name in ("lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True)
    options = [f"Dir::State::Lists={scratch / 'lists'}", f"Dir::Cache={scratch / 'cache'}"]
    if os.geteuid() == 0:
        # Root's apt fetches as another user, who cannot write here.
        options.append("APT::Sandbox::User=root")
    return [part for option in options for part in ("-o", option)]


def _shell(run: Run, line: str) -> None:
    run(["sh", "-c", line], None, None)
