"""A node whose Ray is killed: nothing of it stays behind, the engine that was forked least of all."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import RunningCluster, free_port, wait_for
from xinfer.client import RESTfulClient
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import StartOptions
from xinfer.cluster.processes import of_cluster
from xinfer.cluster.record import ClusterRecord

pytestmark = pytest.mark.engine


@pytest.fixture
def own_cluster() -> Iterator[RunningCluster]:
    """A cluster that may be broken."""
    home = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
    lifecycle = NodeLifecycle(home)
    options = StartOptions(port=free_port(), ray_port=free_port())
    for _ in lifecycle.start(options):
        pass
    yield RunningCluster(options.endpoint, home, lifecycle)
    lifecycle.stop()
    shutil.rmtree(home, ignore_errors=True)


def test_raylet_is_killed(own_cluster: RunningCluster) -> None:
    """Workers, engine, host, spare process and HAProxy end by themselves, and the shared memory is removed."""
    before = set(Path("/dev/shm").iterdir())
    record = ClusterRecord.load(own_cluster.home)
    assert record
    with RESTfulClient(own_cluster.endpoint) as client:
        client.launch_model("tiny-chat", model_uid="lost", n_gpu=None)
    everything = of_cluster(record.id)
    names = [" ".join(process.cmdline()) for process in everything]
    for part in ("worker.host.process", "worker.engine_server", "VLLM::Worker", "ray::Registry", "haproxy"):
        assert any(part in name for name in names), f"{part} is not among {names}"
    os.kill(raylet_of(everything).pid, signal.SIGKILL)
    wait_for(lambda: not of_cluster(record.id), 20, "the end of everything")
    wait_for(lambda: psm(set(Path("/dev/shm").iterdir()) - before) == [], 5, "no shared memory")


def raylet_of(processes: list[psutil.Process]) -> psutil.Process:
    return next(process for process in processes if process.name() == "raylet")


def psm(files: set[Path]) -> list[str]:
    """Those of Python's shared memory; Ray's own object store is a file that is removed already."""
    return [file.name for file in files if file.name.startswith("psm_")]
