"""The process that keeps one node's Ray and warm host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.waiting import wait_for
from xinfer.cluster.fork_server import ForkServerStage, ForkServerState, socket_path
from xinfer.cluster.node_process import BROKEN, ForkServerWatchdog, Rejoining

SLEEP = [sys.executable, "-c", "import time; time.sleep(3600)"]
HOST = "from xinfer.process_lifetime import die_with_parent; die_with_parent(); import time; time.sleep(3600)"
NODE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from xinfer.cluster import node_process as node

class ForkServerWatchdog(node.ForkServerWatchdog):
    def __init__(self, argv):
        super().__init__([sys.executable, "-c", {HOST!r}])

node.ForkServerWatchdog = ForkServerWatchdog
sys.exit(node.main(sys.argv[1:]))
"""
ORPHANING = "import os, sys, time\nif os.fork() == 0:\n    time.sleep(0.3)\n    os._exit(0)\ntime.sleep(0.1)"


@contextmanager
def node(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", NODE, *words], stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
            child.kill()
        process.kill()
        process.wait()
        assert process.stderr
        process.stderr.close()


def children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [child for child in psutil.Process(process.pid).children() if lives(child)]


def lives(process: psutil.Process) -> bool:
    """Also of one that is collected in this moment."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_ends_with_ray() -> None:
    """With Ray's exit code, and the host ends, too."""
    with node("--warm-host", sys.executable, "-c", "import sys, time; time.sleep(1); sys.exit(9)") as process:
        wait_for(lambda: len(children(process)) == 2, 10, "Ray and the host")
        both = children(process)
        assert process.wait(10) == 9
        assert not any(child.is_running() for child in both)


def test_without_host() -> None:
    with node(*SLEEP) as process:
        time.sleep(0.7)
        assert len(children(process)) == 1


def test_node_that_was_given_up_joins_again() -> None:
    """At most for ten minutes after it was last up; one that has never been up for long has other reasons."""
    rejoining = Rejoining(0.0)
    assert rejoining.next_start(10.0) is None
    rejoining = Rejoining(0.0)
    rejoining.joined()
    assert rejoining.next_start(10.0) == 15.0, "it has joined, however short that was"
    rejoining = Rejoining(0.0)
    at = rejoining.next_start(100.0)
    assert at == 105.0
    for _ in range(10):
        rejoining.starts(at)
        at = rejoining.next_start(at + 20)
        assert at is not None
    rejoining.starts(at)
    assert rejoining.next_start(at + 600) is not None, "it was up in the meantime"
    rejoining.starts(2000.0)
    assert rejoining.next_start(2001.0) is None


def test_starts_ray_anew_when_it_is_told() -> None:
    """As another process; the host stays, and the end that comes after that is the last one."""
    with node("--warm-host", *SLEEP) as process:
        wait_for(lambda: len(children(process)) == 2, 10, "Ray and the host")
        (ray,) = [child for child in children(process) if child.cmdline() == SLEEP]
        (host,) = [child for child in children(process) if child != ray]
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: not lives(ray) and len(children(process)) == 2, 10, "another Ray")
        assert host in children(process)
        (again,) = [child for child in children(process) if child != host]
        assert again.cmdline() == SLEEP
        process.terminate()
        assert process.wait(10) == 256 - signal.SIGTERM


def test_asked_to_stop() -> None:
    with node("--warm-host", *SLEEP) as process:
        wait_for(lambda: len(children(process)) == 2, 10, "Ray and the host")
        both = children(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == (-signal.SIGTERM) % 256
        assert not any(child.is_running() for child in both)


def test_killed() -> None:
    """The host goes with it."""
    with node("--warm-host", *SLEEP) as process:
        wait_for(lambda: len(children(process)) == 2, 10, "Ray and the host")
        ray, host = sorted(children(process), key=lambda child: child.pid)
        time.sleep(0.3)  # until the host has said that it is to die with its parent
        process.kill()
        wait_for(lambda: not host.is_running() or host.status() == psutil.STATUS_ZOMBIE, 5, "the host's end")
        ray.kill()


def test_host_comes_back() -> None:
    with node("--warm-host", *SLEEP) as process:
        wait_for(lambda: len(children(process)) == 2, 10, "Ray and the host")
        host = max(children(process), key=lambda child: child.pid)
        host.kill()
        wait_for(
            lambda: len(children(process)) == 2 and host.pid not in {c.pid for c in children(process)}, 10, "a new one"
        )


def test_collects_orphans() -> None:
    """A process whose parent has gone is taken in, and its end is collected."""
    with node(
        sys.executable,
        "-c",
        f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {ORPHANING!r}])\ntime.sleep(3600)",
    ) as process:
        wait_for(lambda: len(children(process)) == 2, 30, "the orphan")
        wait_for(lambda: len(psutil.Process(process.pid).children()) == 1, 10, "its end to be collected")


@pytest.fixture
def watchdog(tmp_path: Path) -> Iterator[ForkServerWatchdog]:
    """Keeps a host that ends at once, with the exit code in a file."""
    code = tmp_path / "code"
    watchdog = ForkServerWatchdog([sys.executable, "-c", f"import sys; sys.exit(int(open({str(code)!r}).read()))"])
    code.write_text("1")
    yield watchdog
    watchdog.stop()


def ended(watchdog: ForkServerWatchdog) -> None:
    wait_for(
        lambda: watchdog.pid is not None and psutil.Process(watchdog.pid).status() == psutil.STATUS_ZOMBIE, 5, "its end"
    )


def test_waits_longer_and_longer(watchdog: ForkServerWatchdog) -> None:
    now = 0.0
    for pause in (1, 2, 4):
        watchdog.look(now)
        ended(watchdog)
        watchdog.look(now)
        watchdog.look(now + pause - 0.1)
        assert watchdog.pid is None
        now += pause
    watchdog.look(now)
    assert watchdog.pid is not None


def test_one_that_was_steady_comes_back_soon(watchdog: ForkServerWatchdog) -> None:
    watchdog.look(0)
    ended(watchdog)
    watchdog.look(1000)
    watchdog.look(1000.9)
    assert watchdog.pid is None
    watchdog.look(1001.1)
    assert watchdog.pid is not None


def test_one_that_cannot_be_warmed_is_left(watchdog: ForkServerWatchdog, tmp_path: Path) -> None:
    (tmp_path / "code").write_text(str(BROKEN))
    watchdog.look(0)
    ended(watchdog)
    watchdog.look(1)
    watchdog.look(10_000)
    assert watchdog.pid is None


def test_state_on_disk(tmp_path: Path) -> None:
    assert ForkServerState.load(tmp_path) is None
    ForkServerState(os.getpid(), ForkServerStage.FAILED, "no engine").save(tmp_path)
    loaded = ForkServerState.load(tmp_path)
    assert loaded
    assert (loaded.stage, loaded.error) == (ForkServerStage.FAILED, "no engine")
    ForkServerState(2**22 - 1, ForkServerStage.READY).save(tmp_path)  # of a process that is gone
    assert ForkServerState.load(tmp_path) is None


def test_socket_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XINFER_CLUSTER_ID", raising=False)
    assert socket_path() is None
    monkeypatch.setenv("XINFER_CLUSTER_ID", "0123456789abcdef")
    assert str(socket_path()) == "/tmp/xinfer-01234567/warm-host.sock"
