"""The main job from the wheel: installed elsewhere, without the checkout, it starts a cluster and serves the bundled model."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.deploy.wheel import build, install, run
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.ports import free_port
from xinfer.cluster.processes import of_cluster

pytestmark = pytest.mark.engine


@pytest.fixture
def home() -> Iterator[Path]:
    # A short path: Ray's sockets are below it.
    folder = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_start_and_launch(home: Path, tmp_path: Path) -> None:
    """Beside packages that break vLLM or are called as ours, since plain pip installs them."""
    _, wheel = build(tmp_path)
    environment = tmp_path / "environment"
    command = str(install(wheel, environment) / "xinfer")
    _add_what_pip_would(environment)
    port, ray_port = (str(free_port("127.0.0.1")) for _ in range(2))
    env = {"XINFER_HOME": str(home), "XINFER_ENDPOINT": f"http://127.0.0.1:{port}"}

    def xinfer(*words: str) -> str:
        return run(command, *words, timeout_s=200, cwd=tmp_path, env=env)

    try:
        xinfer("start", "--port", port, "--ray-port", ray_port, "--launch", "tiny-chat")
        record = ClusterRecord.load(home)
        assert record
        assert of_cluster(record.id)
        assert not [process for process in of_cluster(record.id) if _knows_the_checkout(process)]
        response = json.loads(
            xinfer("chat", "tiny-chat", "What is the largest animal?", "--temperature", "0", "--json")
        )
        assert "whale" in response["choices"][0]["message"]["content"]
    finally:
        xinfer("stop", "--drain-timeout", "0")
    assert not of_cluster(record.id)


def _add_what_pip_would(environment: Path) -> None:
    """What vLLM's metadata asks for: torchvision as built for CUDA, and the process manager in our package's place."""
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "torchvision").mkdir()
    (packages / "torchvision/__init__.py").write_text(
        'raise RuntimeError("operator torchvision::nms does not exist")\n'
    )
    facts = packages / "torchvision-0.28.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n")
    (packages / "supervisor/__init__.py").write_text("# this is a package\n")
    (packages / "supervisor/process.py").write_text("")


def _knows_the_checkout(process: psutil.Process) -> bool:
    try:
        return str(ROOT) in process.environ().get("PYTHONPATH", "").split(":") or process.cwd() == str(ROOT)
    except psutil.Error:
        # It has ended meanwhile.
        return False
