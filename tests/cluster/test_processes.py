"""Processes by their mark."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.waiting import wait_for
from xinfer.cluster.environment import MARK
from xinfer.cluster.processes import end, of_cluster

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def cluster_id() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def start(cluster_id: str) -> Iterator[Start]:
    """Starts processes of the cluster, or of another one."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str = "exec sleep 60", mark: str = cluster_id) -> subprocess.Popen[bytes]:
        env = {**os.environ, MARK: mark}
        started.append(
            subprocess.Popen(["bash", "-c", script], env=env, stdout=subprocess.PIPE, start_new_session=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def pids(cluster_id: str) -> set[int]:
    return {process.pid for process in of_cluster(cluster_id)}


def test_those_with_the_mark_and_no_others(start: Start, cluster_id: str) -> None:
    mine = {start().pid, start().pid}
    start(mark=cluster_id + "0")
    start(mark="")
    wait_for(lambda: pids(cluster_id) == mine, 5)


def test_this_process_is_excepted(cluster_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, cluster_id)
    assert os.getpid() not in pids(cluster_id)


def test_dead_ones_do_not_count(start: Start, cluster_id: str) -> None:
    process = start("exit 0")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped
    assert pids(cluster_id) == set()


def test_ended_in_good_time(start: Start, cluster_id: str) -> None:
    start()
    other = start(mark=cluster_id + "0")
    wait_for(lambda: len(pids(cluster_id)) == 1, 5)
    began = time.monotonic()
    end(of_cluster(cluster_id), grace_s=10)
    assert time.monotonic() - began < 5
    assert pids(cluster_id) == set()
    assert other.poll() is None


def test_killed_if_it_does_not_want_to(start: Start, cluster_id: str) -> None:
    process = start("trap '' TERM; echo up; exec sleep 60")
    assert process.stdout is not None
    process.stdout.readline()
    end(of_cluster(cluster_id), grace_s=0.2)
    assert pids(cluster_id) == set()
    assert process.wait(1) == -signal.SIGKILL


def test_nobody_waits_for_a_parent_that_does_not_collect_it(start: Start, cluster_id: str) -> None:
    """As the first process of a container may not: what was killed is no process any more, but has its number still."""
    parent = start(f"{MARK}={cluster_id} sleep 60 & exec sleep 61", mark="")
    (child,) = wait_for(lambda: of_cluster(cluster_id), 5)
    began = time.monotonic()
    end([child], grace_s=3)
    assert time.monotonic() - began < 2
    assert (child.ppid(), child.status()) == (parent.pid, psutil.STATUS_ZOMBIE)


def test_one_that_is_gone_already_is_fine(start: Start, cluster_id: str) -> None:
    process = start()
    wait_for(lambda: len(pids(cluster_id)) == 1, 5)
    found = of_cluster(cluster_id)
    process.kill()
    process.wait()
    end(found, grace_s=1)
    assert pids(cluster_id) == set()
