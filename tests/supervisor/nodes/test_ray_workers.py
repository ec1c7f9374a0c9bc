"""Ray's worker processes: forked from one that has their modules, or started by themselves."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from supervisor.nodes.ray_workers import fork_server, stub
from supervisor.nodes.ray_workers.fork_server import MODULES, ForkServer
from tests.waiting import wait_for
from xinfer.cluster.environment import MARK

WORKER = """
import json, os, signal, sys
facts = {
    "pid": os.getpid(), "arguments": sys.argv[1:], "path": sys.path[0], "folder": os.getcwd(), "name": __name__,
    "env": dict(os.environ), "parent": os.getppid(), "group": os.getpgrp(), "command": open("/proc/self/cmdline").read(),
    "children": signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL, "oom": open("/proc/self/oom_score_adj").read(),
    "files": sorted(os.listdir("/proc/self/fd"))[:-1],
}
if "ray" in sys.modules:
    import random, uuid
    from ray._raylet import JobID, PlacementGroupID, UniqueID
    drawn = UniqueID.from_random(), PlacementGroupID.of(JobID.from_int(1)), random.random(), uuid.uuid4()
    facts["drawn"] = [str(each) for each in drawn]
print(json.dumps(facts))
"""
"""In the place of Ray's script: says what it finds."""
SERVER = """
import sys, threading
from pathlib import Path
from supervisor.nodes.ray_workers import fork_server
sys.path += sys.argv[3:]
if "thread" in sys.argv:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
fork_server.run(Path(sys.argv[1]), sys.argv[2].split(","))
"""
PLAIN = "--runtime-env-hash=0"

Stub = Callable[..., dict[str, Any]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The fork server's socket."""
    return tmp_path / "workers.sock"


@pytest.fixture
def serve(path: Path) -> Iterator[Callable[..., psutil.Process]]:
    """Start a fork server that has imported ``modules``."""
    started: list[subprocess.Popen[bytes]] = []

    def serve(*words: str, modules: str = "ray") -> psutil.Process:
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "ONLY": "the server's"}
        started.append(subprocess.Popen([sys.executable, "-c", SERVER, str(path), modules, *words], env=env))
        wait_for(path.exists, deadline_s=30)
        return psutil.Process(started[-1].pid)

    yield serve
    for server in started:
        server.kill()
        server.wait()


@pytest.fixture
def run_stub(path: Path, tmp_path: Path) -> Stub:
    """Run a stub as Ray does; what the worker has found."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    out = tmp_path / "out"

    def run(*arguments: str, **variables: str) -> dict[str, Any]:
        env = {**os.environ, stub.SOCKET: str(path), stub.SCRIPT: str(script), **variables}
        argv = [sys.executable, "-I", "-S", stub.__file__, *arguments]
        with out.open("w") as output:
            # Ray raises it for workers.
            code = f"import os; open('/proc/self/oom_score_adj', 'w').write('300'); os.execv({argv[0]!r}, {argv!r})"
            words = [sys.executable, "-c", code]
            process = subprocess.Popen(
                words, cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, stdout=output, process_group=0
            )
            assert process.wait(60) == 0
        wait_for(lambda: out.read_text().endswith("\n"), deadline_s=30)
        return {"stub": process.pid, **json.loads(out.read_text())}

    return run


def test_forked(serve: Callable[..., psutil.Process], run_stub: Stub, tmp_path: Path) -> None:
    """It has what a process of its own would have, and the server's modules."""
    server = serve()
    found = run_stub("--node-id=a", PLAIN, ONLY="the worker's", PYTHONMALLOC="malloc")
    assert found["parent"] == server.pid != found["pid"] != found["stub"]
    # Ray has given the stub one of its own.
    assert found["group"] == found["stub"]
    assert found["arguments"] == ["--node-id=a", PLAIN]
    assert (found["folder"], found["path"], found["name"]) == (str(tmp_path), str(tmp_path), "__main__")
    assert found["env"]["ONLY"] == "the worker's"
    assert found["env"].get("OPENBLAS_NUM_THREADS") == os.environ.get("OPENBLAS_NUM_THREADS")
    assert found["command"].startswith("python default_worker.py")
    assert (found["children"], found["oom"].strip()) == (True, "300")
    assert found["files"] == ["0", "1", "2"]


def test_workers_draw_other_numbers(serve: Callable[..., psutil.Process], run_stub: Stub) -> None:
    """Ray's own too: workers with one state would give two actors one name."""
    serve(modules=",".join(MODULES))
    first, second = run_stub(PLAIN)["drawn"], run_stub(PLAIN)["drawn"]
    assert len({*first, *second}) == len(first) + len(second) == 8


def test_server_whose_workers_would_draw_the_same(
    serve: Callable[..., psutil.Process], run_stub: Stub, tmp_path: Path
) -> None:
    """What it imported has drawn a number; workers start by themselves."""
    (tmp_path / "draws.py").write_text("from ray._raylet import UniqueID; UniqueID.from_random()")
    serve(str(tmp_path), modules="draws")
    found = run_stub(PLAIN)
    assert found["pid"] == found["stub"]


def test_server_leaves_no_zombie(serve: Callable[..., psutil.Process], run_stub: Stub) -> None:
    server = serve(modules="json")
    found = run_stub(PLAIN)
    wait_for(lambda: not psutil.pid_exists(found["pid"]), deadline_s=10)
    assert server.status() in (psutil.STATUS_SLEEPING, psutil.STATUS_RUNNING)


@pytest.mark.parametrize("arguments", [["--runtime-env-hash=-1450707250"], []])
def test_a_runtime_environment_needs_a_process_of_its_own(
    serve: Callable[..., psutil.Process], run_stub: Stub, arguments: list[str]
) -> None:
    serve(modules="json")
    found = run_stub(*arguments)
    assert found["pid"] == found["stub"]
    assert found["arguments"] == arguments


def test_without_a_server(run_stub: Stub) -> None:
    found = run_stub(PLAIN)
    assert found["pid"] == found["stub"]
    assert "drawn" not in found


def test_server_that_cannot_be_forked(serve: Callable[..., psutil.Process], run_stub: Stub) -> None:
    """It ends, and workers start by themselves."""
    server = serve("thread", modules="json")
    found = run_stub(PLAIN)
    assert found["pid"] == found["stub"]
    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, deadline_s=10)


def test_server_that_cannot_import(serve: Callable[..., psutil.Process], run_stub: Stub) -> None:
    serve(modules="no_such_module")
    found = run_stub(PLAIN)
    assert found["pid"] == found["stub"]


@pytest.fixture
def alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ForkServer, list[int]]]:
    """A server in a thread of this process, and the forks that it has made, which are none."""
    forks: list[int] = []

    def fork() -> int:
        forks.append(1)
        return 1

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(os, "setpgid", lambda *_: None)
    monkeypatch.setattr(fork_server, "_threads", lambda: 1)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield ForkServer(listener), forks


def request(path: Path, payload: bytes) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    socket.send_fds(connection, [payload], [0, 1, 2])
    connection.shutdown(socket.SHUT_WR)
    return connection


GOOD = json.dumps({"arguments": [], "env": {}, "folder": "/", "process_group": 5, "oom_score_adj": 0}).encode()


def test_stub_that_gave_up_is_not_served(alone: tuple[ForkServer, list[int]], path: Path) -> None:
    """It has become the worker itself."""
    server, forks = alone
    before = len(list(Path("/proc/self/fd").iterdir()))
    request(path, GOOD).close()
    server.serve_one()
    assert forks == []
    with request(path, GOOD) as connection:
        server.serve_one()
        assert connection.recv(10) == stub.FORKED
    assert forks == [1]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"arguments": []}'])
def test_what_is_no_request(
    alone: tuple[ForkServer, list[int]], path: Path, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server, forks = alone
    with request(path, payload) as connection:
        server.serve_one()
        assert connection.recv(10) == b""
    assert forks == []
    assert "could not be forked" in caplog.text


def test_no_process_left(alone: tuple[ForkServer, list[int]], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub becomes the worker, or fails as it would have."""

    def fork() -> int:
        raise BlockingIOError("no process left")

    monkeypatch.setattr(os, "fork", fork)
    server, _ = alone
    with request(path, GOOD) as connection:
        server.serve_one()
        assert connection.recv(10) == b""


def test_modules_start_no_thread_and_import_no_engine() -> None:
    program = f"""
import importlib, os, sys
for name in {MODULES}:
    importlib.import_module(name)
print(len(os.listdir("/proc/self/task")), {{"torch", "vllm"}} & set(sys.modules))
"""
    env = {**os.environ, "OMP_NUM_THREADS": "8", "OPENBLAS_NUM_THREADS": "1"}
    found = subprocess.check_output([sys.executable, "-W", "ignore", "-c", program], env=env, text=True)
    assert found.split() == ["1", "set()"]


def test_ray_itself_has_the_environment_of_its_node(tmp_path: Path) -> None:
    """What workers need before Ray is imported is not for what Ray starts."""
    program = """
import json, os
from supervisor.nodes import ray_command, ray_node
inside = {name: os.environ.get(name) for name in ("PYTHONMALLOC", "RAY_JOB_ID", "OPENBLAS_NUM_THREADS")}
ray_command.run = lambda socket: print(json.dumps([inside, dict(os.environ), str(socket)]))
ray_node.main()
"""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONMALLOC", "MALLOC_ARENA_MAX")}
    env = {**kept, MARK: "0123456789", "OPENBLAS_NUM_THREADS": "5"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)
    inside, found, path = json.loads(done.stdout)
    assert inside == {"PYTHONMALLOC": "malloc", "RAY_JOB_ID": "ffffffff", "OPENBLAS_NUM_THREADS": "1"}
    assert {name: value for name, value in found.items() if name in env or "ENVIRONMENT" in name} == env
    assert not {"PYTHONMALLOC", "MALLOC_ARENA_MAX", "RAY_JOB_ID", "RAY_RAYLET_PID"} & set(found)
    assert path == "/tmp/xinfer-01234567/workers.sock"
