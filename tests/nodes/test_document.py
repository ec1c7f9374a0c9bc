"""docs/cluster.md, block by block, with two nodes on this machine for its two machines."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.blocks import SHELL, blocks
from tests.shell import Shell
from xinfer.cluster.ports import free_port

# Two machines from nothing, every command of the page.
pytestmark = pytest.mark.heavy

HEAD, OTHER = "127.0.0.1", "127.0.0.3"
ON_THE_HEAD, ON_THE_OTHER = "# on the head\n", "# on the other machine\n"
# Its commands are checked with those of all documents, and ``test_gangs`` launches such a model.
ON_GPUS = "# with two nodes of eight GPUs\n"


def test_it_works_as_written() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="xi-", dir="/tmp") as one,
        tempfile.TemporaryDirectory(prefix="xi-", dir="/tmp") as two,
    ):
        port, ray_port = free_port("127.0.0.1"), free_port(HEAD)
        head, other = Shell(Path(one), port), Shell(Path(two), port)
        replaced = {
            "--host 10.0.0.1": f"--host {HEAD} --port {port} --ray-port {ray_port} --no-warm-host --supervisors-per-node 1",
            "http://10.0.0.2:9997": f"http://{OTHER}:{port}",
            "10.0.0.1:6379": f"{HEAD}:{ray_port} --node-ip {OTHER} --no-warm-host",
            "10.0.0.2": OTHER,
        }
        try:
            for block in blocks(ROOT / "docs" / "cluster.md"):
                if block.language not in SHELL or block.text.startswith(ON_GPUS):
                    continue
                text = block.text
                for written, here in replaced.items():
                    text = text.replace(written, here)
                if text.startswith(ON_THE_OTHER):
                    done = run(other, text, HEAD)
                else:
                    assert text.startswith(ON_THE_HEAD), block.where
                    done = run(head, text, HEAD)
                assert done.returncode == 0, f"{block.where}\n{done.stdout}{done.stderr}"
                if "join-command" in text:
                    replaced["0123456789abcdef"] = done.stdout.split()[-1]
        finally:
            other("stop", "--drain-timeout", "0")
            head("stop", "--drain-timeout", "0")


def run(shell: Shell, text: str, host: str) -> subprocess.CompletedProcess[str]:
    env = {**shell.env, "XINFER_ENDPOINT": f"http://{host}:{shell.port}"}
    env["PATH"] = f"{Path(shell.argv()[0]).parent}:{env['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
