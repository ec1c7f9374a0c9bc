"""What a virtual environment has been given already, so that the next set-up does only what is missing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


class Stamp:
    """A small file in the environment: its flavor, and for each finished step a fingerprint of what went into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.flavor = ""
        self.done: dict[str, str] = {}
        self._load()

    def _load(self) -> None:
        try:
            content = json.loads(self.path.read_text())
            self.flavor, self.done = str(content["flavor"]), dict(content["done"])
        except (OSError, ValueError, KeyError, TypeError):  # missing or torn: every step is done again
            return

    def has(self, step: str, fingerprint: str) -> bool:
        return self.done.get(step) == fingerprint

    def add(self, step: str, fingerprint: str) -> None:
        """Records a finished step, on disk at once: an interrupted set-up goes on from here."""
        self.done[step] = fingerprint
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps({"flavor": self.flavor, "done": self.done}, indent=1))
        draft.replace(self.path)


def fingerprint(*parts: object) -> str:
    """Changes when the text of a part does."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()
