"""Checks that this commit can be released, and builds its wheel and sdist into dist/: `make release`.

The checks of the code and the suite come before, in the same target. Nothing is uploaded and no tag is made.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    tags = _git("tag", "--list").split()
    found = problems(ROOT, _git("status", "--porcelain"), tags)
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        return 1
    version = version_of(ROOT)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", f"dist/{version}", "."], cwd=ROOT, check=True
    )
    print(f"dist/{version} can be published. Then: git tag v{version} && git push origin v{version}")
    return 0


def version_of(root: Path) -> str:
    """The version in the one place that has it."""
    found = re.search(r'^__version__ = "(.+)"$', (root / "xinfer" / "__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError('xinfer/__init__.py: expected a line __version__ = "..."')
    return found[1]


def problems(root: Path, changes: str, tags: list[str]) -> list[str]:
    """Why this cannot be released; ``changes`` are what Git says is not committed."""
    version = version_of(root)
    found: list[str] = []
    if changes:
        found.append("There are changes that are not committed.")
    if f"v{version}" in tags:
        found.append(f"The version {version} has a tag already: set __version__ in xinfer/__init__.py.")
    heading = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    if heading is None or heading[1] != version:
        found.append(f"CHANGELOG.md does not begin with {version}.")
    chart = (root / "deploy" / "helm" / "xinfer" / "Chart.yaml").read_text()
    keys = [key for key in ("version", "appVersion") if f"\n{key}: {version}\n" not in chart]
    found += [f"deploy/helm/xinfer/Chart.yaml: {key} is not {version}." for key in keys]
    found += _not_locked(root)
    return found


def _not_locked(root: Path) -> list[str]:
    """Base dependencies that the lock files lack, as after a change without `make lock`."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    locked = {line.partition("==")[0] for line in (root / "deploy" / "locks" / "cpu.txt").read_text().splitlines()}
    names = [re.split(r"[\[<>=~!; ]", each, maxsplit=1)[0] for each in project["dependencies"]]
    return [f"deploy/locks/cpu.txt has no {name}: run `make lock`." for name in names if name not in locked]


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
