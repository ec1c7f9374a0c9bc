"""What pip is doing, told in a line, from the lines it writes and the files it makes."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

LOOKED_UP = re.compile(r"^(?:Collecting|Processing) (\S+)")
FETCHED = re.compile(r"^\s*(?:Downloading|Using cached) (\S+?)-\d\S*\.(?:whl|tar\.gz)(?: (\(.+\)))?")


class Watch:
    """Reads along with one pip command."""

    def __init__(self, packages: int, scratch: Path, venv: Path) -> None:
        self.packages, self.scratch, self.venv = packages, scratch, venv
        self.doing, self.looked_up, self.installing = "starting pip", 0, False
        self.installed_before = self._installed()

    def see(self, line: str) -> None:
        """Takes a line of pip's output."""
        found = LOOKED_UP.match(line)
        if found:
            self.looked_up += 1
            self.doing = "looking up " + found.group(1).rsplit("/", 1)[-1].split("-", 1)[0]
        found = FETCHED.match(line)
        if found:
            self.doing = " ".join(["fetching", *filter(None, found.groups())])
        self.installing = self.installing or line.startswith("Installing collected packages")

    def line(self) -> str:
        """How far pip is."""
        if self.installing:
            return f"{self._of_all(self._installed() - self.installed_before)} unpacked"
        megabytes = _bytes_below(self.scratch) // 1_000_000
        words = [self._of_all(self.looked_up), self.doing, f"({megabytes} MB so far)" if megabytes else ""]
        return " ".join(filter(None, words))

    def _of_all(self, count: int) -> str:
        return f"{count}/{self.packages}" if self.packages else f"{count}"

    def _installed(self) -> int:
        return sum(1 for _ in self.venv.glob("lib/python3*/site-packages/*.dist-info"))


def _bytes_below(folder: Path) -> int:
    total = 0
    with suppress(OSError):  # pip moves and deletes while we count: for one line the figure is short
        for path in folder.rglob("*"):
            total += path.lstat().st_size
    return total
