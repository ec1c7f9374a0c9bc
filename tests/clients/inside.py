"""The tests that run inside the environments: what there is, and how one environment's are run against a cluster."""

from __future__ import annotations

import ast
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.clients.environments import python_of
from xinfer.tiny_chat import model_path

SCRIPTS = Path(__file__).parent / "scripts"
RUN_TIMEOUT_S = 240.0

Failures = dict[tuple[str, str], str]
"""By file and function: what went wrong, nothing if it passed."""


@dataclass(frozen=True)
class Check:
    """One test function of one file, which is run in one environment."""

    environment: str
    file: str
    function: str


def checks() -> list[Check]:
    """All there are, found without importing what is only in the environments."""
    return [
        Check(file.parent.name, file.stem, node.name)
        for file in sorted(SCRIPTS.glob("*/test_*.py"))
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]


def run(environment: str, endpoint: str, uid: str) -> Failures:
    """Run all of an environment's files in one process there, since the packages take seconds to import."""
    told = {"XINFER_ENDPOINT": endpoint, "XINFER_MODEL": uid, "XINFER_MODEL_FOLDER": str(model_path())}
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))} | told
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        argv = [python_of(environment), "-m", "pytest", environment, f"--junitxml={report}"]
        done = subprocess.run(
            argv, cwd=SCRIPTS, env={**env, "HOME": folder}, capture_output=True, text=True, timeout=RUN_TIMEOUT_S
        )
        assert report.exists(), f"{environment}: no report\n{done.stdout}{done.stderr}"
        found = _read(report)
    assert any(where[1] for where in found), f"{environment}: nothing was run\n{done.stdout}{done.stderr}"
    return found


def _read(report: Path) -> Failures:
    """A function's cases together, with the tracebacks of those that failed or could not be set up."""
    found: Failures = {}
    for case in ElementTree.parse(report).iter("testcase"):
        where = (case.get("classname", "").rpartition(".")[2], case.get("name", "").partition("[")[0])
        wrong = [f"{case.get('name')}\n{part.text}" for part in case if part.tag in ("failure", "error")]
        found[where] = "\n".join([found.get(where, ""), *wrong]).strip()
    return found
