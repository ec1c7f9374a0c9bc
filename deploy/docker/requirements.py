"""Prints what pyproject.toml asks for with an extra, without xinfer: ``requirements.py EXTRA PYPROJECT``.

An image installs these in a layer of their own, which a change of xinfer's code leaves as it is.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extra: str) -> list[str]:
    """The base and the extra."""
    project = tomllib.loads(pyproject.read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"][extra]]


if __name__ == "__main__":
    print(*requirements(Path(sys.argv[2]), sys.argv[1]), sep="\n")
