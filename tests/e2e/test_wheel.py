"""The main job from the wheel, as a service manager runs it: without the checkout, beside packages that break vLLM.

It says when it is up, brings up the models of a file, serves, and on SIGTERM drains: a stream that runs goes on to its end.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.deploy.wheel import build, install, outside, run
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.health import unwell
from xinfer.cluster.ports import free_port
from xinfer.cluster.processes import of_cluster
from xinfer.cluster.systemd import Unit

# An environment of its own, and a cluster from it.
pytestmark = [pytest.mark.engine, pytest.mark.heavy]

READY_S = 180


@pytest.fixture
def home() -> Iterator[Path]:
    # A short path: Ray's sockets are below it.
    folder = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def command(tmp_path: Path) -> str:
    """The program of an environment that has the wheel, and what pip would have put beside it."""
    _, wheel = build(tmp_path)
    environment = tmp_path / "environment"
    command = str(install(wheel, environment) / "xinfer")
    _add_what_pip_would(environment)
    return command


@contextmanager
def service(command: str, words: list[str], home: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process that a unit's ``ExecStart`` starts, once it has said that it is ready."""
    unit = Unit(command, tuple(words), user="root", drain_timeout_s=120)
    (line,) = [line for line in unit.text().splitlines() if line.startswith("ExecStart=")]
    argv = shlex.split(line.removeprefix("ExecStart="))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, (folder / "output").open("wb") as output:
        manager.bind(str(folder / "notify"))
        manager.settimeout(READY_S)
        env = outside(XINFER_HOME=str(home), NOTIFY_SOCKET=str(folder / "notify"))
        with subprocess.Popen(argv, env=env, cwd=folder, stdout=output, stderr=output) as process:
            try:
                assert manager.recv(100) == b"READY=1"
                yield process
                assert manager.recv(100) == b"STOPPING=1"
            finally:
                if process.poll() is None:
                    process.kill()
                    run(command, "stop", "--drain-timeout", "0", cwd=folder, env={"XINFER_HOME": str(home)})


@pytest.mark.timeout(600)
def test_serves_and_drains(command: str, home: Path, tmp_path: Path) -> None:
    port, ray_port = (str(free_port("127.0.0.1")) for _ in range(2))
    models = tmp_path / "models.yaml"
    models.write_text("models: [{model_name: tiny-chat, n_gpu: none}]")
    words = ["--port", port, "--ray-port", ray_port, "--models", str(models)]
    endpoint = f"http://127.0.0.1:{port}"
    with service(command, words, home, tmp_path) as process, RESTfulClient(endpoint) as client:
        assert unwell(home) == ""
        record = ClusterRecord.load(home)
        assert record
        assert not [each for each in of_cluster(record.id) if _knows_the_checkout(each)]
        wait_for(lambda: _is_ready(client), READY_S, "tiny-chat")
        question = ("chat", "tiny-chat", "What is the largest animal?", "--temperature", "0", "--json")
        env = {"XINFER_ENDPOINT": endpoint, "XINFER_HOME": str(home)}
        answer = json.loads(run(command, *question, cwd=tmp_path, env=env))
        assert "whale" in answer["choices"][0]["message"]["content"]

        stream = _Stream(client)
        stream.begun.wait(60)
        process.send_signal(signal.SIGTERM)
        stream.join(150)
        assert stream.finish_reason == "length"
        assert process.wait(60) == 0, (tmp_path / "output").read_text()
    assert not of_cluster(record.id)


class _Stream(threading.Thread):
    """A completion that is longer than a stop without a drain would take."""

    def __init__(self, client: RESTfulClient) -> None:
        super().__init__(daemon=True)
        self.begun = threading.Event()
        self.finish_reason: str | None = None
        self._model = client.get_model("tiny-chat")
        self.start()

    def run(self) -> None:
        config = {"stream": True, "max_tokens": 1000, "ignore_eos": True}
        for chunk in self._model.generate("The largest animal", config):
            self.begun.set()
            for choice in chunk["choices"]:
                self.finish_reason = choice.get("finish_reason") or self.finish_reason


def _is_ready(client: RESTfulClient) -> bool:
    return any(each["status"] == "READY" for each in client.get_instance_info(None, "tiny-chat"))


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
