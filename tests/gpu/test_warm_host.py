"""The warm host on a machine with a GPU: it forks clean, and saves a launch most of its time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.gpu.checks import Book
from tests.gpu.conftest import REHEARSAL
from tests.gpu.device import processes
from tests.gpu.patience import run
from xinfer.bench.launching.bench_cluster import BenchCluster, fork_server_processes

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]

UID = "tiny"
ALONE = "Starting without the fork server"
RUNS = "1" if REHEARSAL else "3"
_ROWS = {"bare": "launch-bare", "warm": "launch-warm", "cold": "launch-cold", "plain": "launch-plain"}


def test_forks_clean(lab: BenchCluster, book: Book) -> None:
    """Before and after a fork: one thread, nothing on a GPU, and the engine is its child."""
    lab.wait_for_fork_server()
    (process,) = fork_server_processes(lab.cluster.id)
    lab.launch(UID)
    threads, opened = process.num_threads(), cuda_devices(process)
    is_on_gpu = process.pid in processes()
    book.add("host-threads", str(threads), threads == 1)
    book.add("host-gpu", "on a GPU" if is_on_gpu else ", ".join(opened) or "none", not (is_on_gpu or opened))
    logs = (lab.cluster.home / "logs" / "engines").glob(f"{UID}-*.log")
    alone = [line for log in logs for line in log.read_text().splitlines() if ALONE in line]
    book.add("host-forks", alone[0] if alone else "yes", not alone)
    assert threads == 1
    assert not opened
    assert not is_on_gpu
    assert not alone


def cuda_devices(process: psutil.Process) -> list[str]:
    """Devices that a process has open once it has made a CUDA context; looking at GPUs through NVML opens others."""
    links = [link.readlink() for link in Path(f"/proc/{process.pid}/fd").iterdir()]
    return [str(target) for target in links if str(target).startswith("/dev/nvidia-uvm")]


def test_launches(lab: BenchCluster, book: Book, tmp_path: Path) -> None:
    """`xinfer bench-launch` beside bare vLLM, on a GPU that nobody else uses."""
    lab.clear()
    file = tmp_path / "launches.json"
    argv = [sys.executable, "-m", "xinfer.cli", "bench-launch", "--runs", RUNS, "--n-gpu", "none" if REHEARSAL else "1"]
    argv += [word for row in _ROWS for word in ("--only", row)]
    assert run([*argv, "--json", str(file)], 800, env=lab.cluster.env) == 0
    rows: dict[str, Any] = json.loads(file.read_text())["rows"]
    for row, check in _ROWS.items():
        book.add(check, told(rows[row]))
    assert all(rows[row]["samples"] for row in _ROWS)


def told(row: dict[str, Any]) -> str:
    """Median and extremes, and where the time goes."""
    if row["median"] is None:
        return "; ".join(row["failures"])
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in row["parts"].items())
    return f"{row['median']:.1f} s ({row['min']:.1f}..{row['max']:.1f}): {stages}"
