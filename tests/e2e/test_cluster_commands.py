"""``xinfer start``, ``status`` and ``stop`` as a person uses them: refusals, restarts, and nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.conftest import ROOT
from tests.e2e.traces import listening
from tests.shell import Shell
from tests.waiting import wait_for
from xinfer.cluster.ports import free_port
from xinfer.cluster.processes import command_line, of_cluster

# A cluster of its own, from start to stop; test_make_serve.py and test_open_cluster.py start others.
pytestmark = pytest.mark.heavy

MODEL = str(ROOT / "xinfer" / "tiny_chat" / "model")


@pytest.fixture
def xinfer() -> Iterator[Shell]:
    with tempfile.TemporaryDirectory(prefix="xinfer-test-") as folder:
        shell = Shell(
            Path(folder) / "a home whose path is long and has blanks, as people's homes sometimes have",
            free_port("127.0.0.1"),
        )
        yield shell
        shell("stop")


@pytest.mark.engine
def test_from_start_to_stop(xinfer: Shell) -> None:
    """A start, a stop that leaves nothing, another start with what ran before, and an end by force that leaves nothing either."""
    assert xinfer("status").returncode == 1
    port = ("--port", str(xinfer.port))
    started = xinfer("start", *port, "--allow-fake-engine", "--dashboard")
    assert started.returncode == 0, started.stderr
    assert f"xinfer is ready at http://127.0.0.1:{xinfer.port}" in started.stdout
    assert "starting Ray" in started.stderr
    assert (xinfer.home / "ray.token").stat().st_mode & 0o777 == 0o600
    assert json.loads(xinfer("status", "--json").stdout)["running"] is True

    dashboard_wants_the_token(xinfer)
    again = xinfer("start", *port)
    assert again.returncode == 1
    assert "xinfer stop" in again.stderr

    launched = xinfer("launch", "-n", "kept", "-en", "fake", "-mp", MODEL, "--n-gpu", "none", "--tokens", "2", "--json")
    assert launched.returncode == 0, launched.stderr
    assert json.loads(launched.stdout) == {"model_uid": "kept", "ready": True}
    assert "kept" in xinfer("list").stdout

    first = xinfer.record
    assert first is not None
    stopped = xinfer("stop")
    assert stopped.returncode == 0
    assert not of_cluster(first.id)
    assert not list(Path("/tmp").glob(f"xinfer-{first.id[:8]}*"))
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{xinfer.port}/health", timeout=2)
    assert "Nothing was running" in xinfer("stop").stdout

    assert xinfer("start", *port, "--allow-fake-engine").returncode == 0
    wait_for(lambda: "kept" in xinfer("list").stdout, 30, "the model coming back")
    assert xinfer("generate", "kept", "Hi", "--max-tokens", "2").stdout.strip() == "0 1"
    workers_without_their_fork_server(xinfer)
    # With a process for the model, which shares memory with the engine core.
    worker = ("--distributed-executor-backend", "mp")
    assert xinfer("launch", "tiny-chat", "--n-gpu", "none", *worker).returncode == 0
    raylet_is_killed(xinfer)


def dashboard_wants_the_token(xinfer: Shell) -> None:
    """It is on loopback only, and its jobs API, which runs code, refuses who has no token."""
    assert xinfer.record
    (dashboard,) = [each for each in of_cluster(xinfer.record.id) if "dashboard/dashboard.py" in command_line(each)]
    ports = [port for ip, port in listening(dashboard) if ip == "127.0.0.1"]
    answers = {port: requests.get(f"http://127.0.0.1:{port}/api/jobs/", timeout=10) for port in ports}
    # Its metrics for Prometheus are there whatever path is asked for.
    others = [port for port, answer in answers.items() if not answer.text.startswith("# HELP")]
    (port,) = [port for port in others if answers[port].status_code != 404]
    assert answers[port].status_code in (401, 403)
    submitted = requests.post(f"http://127.0.0.1:{port}/api/jobs/", json={"entrypoint": "true"}, timeout=10)
    assert submitted.status_code in (401, 403)
    stopped = requests.delete(f"http://127.0.0.1:{port}/api/serve/applications/", timeout=10)
    assert stopped.status_code in (401, 403)


def workers_without_their_fork_server(xinfer: Shell) -> None:
    """Those that were forked go on, and the next ones start by themselves."""
    assert xinfer.record
    everything = of_cluster(xinfer.record.id)
    (server,) = [process for process in everything if "ray_workers.fork_server" in command_line(process)]
    parts = ("ray::Registry", "ray::ServeController", "ray::ServeReplica:xinfer:supervisor", "ray::NodeAgent")

    def missing(workers: list[psutil.Process]) -> list[str]:
        names = [command_line(each) for each in workers if each.is_running()]
        return [part for part in parts if not any(name.startswith(part) for name in names)]

    wait_for(lambda: not missing(server.children()), 30, "the cluster's own workers")
    workers = server.children()
    server.kill()
    fake = ("-en", "fake", "-mp", MODEL, "--n-gpu", "none")
    for uid in ("first", "second"):
        assert xinfer("launch", "-n", uid, *fake).returncode == 0
        assert xinfer("generate", uid, "Hi", "--max-tokens", "2").stdout.strip() == "0 1"
        assert xinfer("terminate", uid).returncode == 0
    assert not missing(workers)


def raylet_is_killed(xinfer: Shell) -> None:
    """Workers, the engine that was forked, host, spare process and HAProxy end by themselves; shared memory is removed."""
    assert xinfer.record
    cluster_id = xinfer.record.id
    everything = of_cluster(cluster_id)
    names = [command_line(process) for process in everything]
    for part in ("worker.fork_server.process", "worker.engine_server", "VLLM::Worker", "ray::Registry", "haproxy"):
        assert any(part in name for name in names), f"{part} is not among {names}"
    memory = {word for process in everything for word in shared_memory_of(process)}
    assert memory
    next(process for process in everything if process.name() == "raylet").kill()
    wait_for(lambda: not of_cluster(cluster_id), 20, "the end of everything")
    wait_for(lambda: not any(Path(file).exists() for file in memory), 5, "the removal of shared memory")


def shared_memory_of(process: psutil.Process) -> set[str]:
    """Python's own; Ray's object store is a file that is removed already."""
    try:
        return {each.path for each in process.memory_maps() if each.path.startswith("/dev/shm/psm_")}
    except psutil.Error:
        return set()


def test_interrupted_start_leaves_nothing(xinfer: Shell) -> None:
    process = subprocess.Popen(
        xinfer.argv("start", "--foreground", "--port", str(xinfer.port)),
        env=xinfer.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        record = wait_for(lambda: xinfer.record, 20, "the cluster's record")
        time.sleep(2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert not of_cluster(record.id)
    assert xinfer.record is None


def test_port_in_use(xinfer: Shell) -> None:
    import socket

    with socket.create_server(("127.0.0.1", xinfer.port)):
        refused = xinfer("start", "--port", str(xinfer.port))
    assert refused.returncode == 1
    assert "--port" in refused.stderr
    assert xinfer.record is None


def test_open_to_others_without_keys_only_when_asked(xinfer: Shell) -> None:
    refused = xinfer("start", "--host", "0.0.0.0", "--no-auth", "--port", str(xinfer.port))
    assert refused.returncode == 2
    assert "--insecure" in refused.stderr


def test_foreign_supervisor_package(xinfer: Shell, tmp_path: Path) -> None:
    """The process manager of the same name in our place: a clear sentence, and no start."""
    (tmp_path / "supervisor").mkdir()
    (tmp_path / "supervisor" / "__init__.py").write_text("")
    env = {**xinfer.env, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(xinfer.argv("start"), env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip uninstall -y supervisor" in done.stderr
