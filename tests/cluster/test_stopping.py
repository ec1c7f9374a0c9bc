"""A node is stopped by a process that does not belong to it, on behalf of one that does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT
from tests.waiting import wait_for
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import MARK

MEMBER = """
import time
from xinfer.cluster.stopping import stop_soon
stop_soon(0.5)
print("asked", flush=True)
time.sleep(60)
"""


def test_member_has_its_own_node_stopped(tmp_path: Path) -> None:
    """It has time to answer, and then it ends with all the others."""
    ClusterRecord("0123456789abcdef-test", "http://127.0.0.1:1", "127.0.0.1:2", time.time()).save(tmp_path)
    env = {**os.environ, MARK: "0123456789abcdef-test", "XINFER_HOME": str(tmp_path)}
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", MEMBER], env=env, cwd=ROOT, stdout=subprocess.PIPE) as member:
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=env)
        assert member.stdout is not None
        assert member.stdout.readline() == b"asked\n"
        assert ClusterRecord.load(tmp_path) is not None
        assert member.wait(30) != 0
        assert other.wait(30) != 0
    assert time.monotonic() - began < 40
    wait_for(lambda: ClusterRecord.load(tmp_path) is None, 15, "the record's end")


def test_nothing_runs_here(tmp_path: Path) -> None:
    env = {**os.environ, "XINFER_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "xinfer.cluster.stopping", "0"], env=env, cwd=ROOT, timeout=30)
    assert done.returncode == 0
