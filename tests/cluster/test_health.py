"""The check that containers make."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import MARK
from xinfer.cluster.health import unwell


def command(home: Path) -> tuple[int, str]:
    """The exit status and the output of the command that containers run."""
    argv = [sys.executable, "-m", "xinfer.cluster.health"]
    env = {**os.environ, "XINFER_HOME": str(home)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_nothing_runs(tmp_path: Path) -> None:
    assert unwell(tmp_path) == "nothing runs here"
    assert command(tmp_path) == (1, "nothing runs here\n")


def test_head(tmp_path: Path) -> None:
    with closing(ScriptedServer()) as server:
        ClusterRecord("x", server.url, "127.0.0.2:1", 0.0).save(tmp_path)
        server.answer("GET", "/health", Answer({}), Answer({}, status=503))
        assert unwell(tmp_path) == ""
        assert "503" in unwell(tmp_path)
    assert "does not answer" in unwell(tmp_path)


def test_node(tmp_path: Path) -> None:
    ClusterRecord("of-this-test", None, "127.0.0.2:1", 0.0).save(tmp_path)
    assert unwell(tmp_path) == "its processes are gone"
    with subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: "of-this-test"}) as process:
        try:
            assert unwell(tmp_path) == ""
            assert command(tmp_path) == (0, "")
        finally:
            process.kill()
