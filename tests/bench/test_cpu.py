"""Finding the processes of a cluster that runs here, and reading their CPU time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_for
from xinfer.bench import cpu, machine
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import MARK

URL = "http://127.0.0.1:9997"
WAIT = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[dict[str, int]]:
    """A record of a cluster, two of its processes, and one that is not of it."""
    mark = uuid.uuid4().hex  # other tests of this file may run beside it
    ClusterRecord(mark, URL, "127.0.0.2:6379", 0.0).save(tmp_path)
    haproxy = tmp_path / "haproxy"
    shutil.copy(shutil.which("sleep") or "sleep", haproxy)
    ours = {**os.environ, MARK: mark}
    argvs = {"haproxy": [str(haproxy), "60"], "supervisor": [*WAIT, "ray::ServeReplica:xinfer:supervisor"]}
    found = {name: subprocess.Popen(argv, env=ours, stdout=subprocess.DEVNULL) for name, argv in argvs.items()}
    found["other"] = subprocess.Popen([*WAIT, "ServeReplica:xinfer:supervisor"], stdout=subprocess.DEVNULL)
    yield {name: process.pid for name, process in found.items()}
    for process in found.values():
        process.kill()
        process.wait()


def test_supervisors_and_haproxy_of_the_cluster_that_is_asked(tmp_path: Path, started: dict[str, int]) -> None:
    wanted = {"supervisor": [started["supervisor"]], "haproxy": [started["haproxy"]]}
    for urls in ([URL], ["http://elsewhere:1", "http://localhost:9997"]):
        assert wait_for(lambda urls=urls: len(found := cpu.cluster_processes(urls, tmp_path)) == 2 and found) == wanted


@pytest.mark.parametrize("url", ["http://127.0.0.1:9998", "http://elsewhere:9997"])
def test_nothing_for_other_servers(tmp_path: Path, started: dict[str, int], url: str) -> None:
    assert cpu.cluster_processes([url], tmp_path) == {}


def test_nothing_without_a_cluster(tmp_path: Path) -> None:
    assert cpu.cluster_processes([URL], tmp_path) == {}


def test_cpu_seconds_grow_with_work_and_go_with_the_process() -> None:
    process = subprocess.Popen([sys.executable, "-c", "print(sum(range(10**6)), flush=True); input()"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    watched = {"it": [process.pid], "both": [process.pid, os.getpid()]}
    used = cpu.cpu_seconds(watched)
    assert 0 < used["it"] < used["both"]
    process.communicate(b"\n")
    assert cpu.cpu_seconds(watched) == {}
    assert not cpu.is_alive(process.pid)
    assert cpu.between({"a": 1.0, "b": 1.0}, {"a": 1.5}) == {"a": 0.5}


def test_the_machine() -> None:
    facts = machine.facts()
    assert facts["cores"] >= 1
    assert facts["memory_gib"] > 0
    assert {"xinfer", "ray"} <= facts["versions"].keys()
    assert facts["cpu"]
