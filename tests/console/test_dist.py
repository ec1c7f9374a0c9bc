"""What is served is what the source builds, and it is small."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

from tests.console.conftest import CONSOLE, missing

DIST = CONSOLE / "dist"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_built_of_the_source(tmp_path: Path) -> None:
    if not shutil.which("npx") or not (CONSOLE / "node_modules" / "vite").is_dir():
        missing("Node.js, or its packages for the console (`make console`), are not installed")
    environment = {**os.environ, "NO_COLOR": "1"}
    for argv in (["npx", "tsc", "--noEmit"], ["npx", "vite", "build", "--outDir", str(tmp_path), "--emptyOutDir"]):
        done = subprocess.run(argv, cwd=CONSOLE, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    assert contents(tmp_path) == contents(DIST), "run `make console` and commit supervisor/console/dist"


def test_less_than_200_kb_travel() -> None:
    sizes = {name: len(gzip.compress(content)) for name, content in contents(DIST).items()}
    assert sum(sizes.values()) < 200_000, sizes


def test_packages_come_from_whatever_registry_npm_knows() -> None:
    assert '"resolved"' not in (CONSOLE / "package-lock.json").read_text()
    assert "registry=" not in (CONSOLE / ".npmrc").read_text()


def test_page_asks_nobody_else() -> None:
    """No address of another server in what is loaded: it works without a network."""
    page = (DIST / "index.html").read_text()
    assert "http" not in page
    assert "<script>" not in page
    assert "style=" not in page
