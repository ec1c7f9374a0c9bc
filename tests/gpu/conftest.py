"""A turn on a machine with a GPU, or its rehearsal on one without: the cluster, the device, and the book of what was found."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.gpu.checks import Book
from tests.gpu.device import Device
from xinfer.bench import machine
from xinfer.bench.launching.bench_cluster import BenchCluster
from xinfer.bench.launching.cluster import Cluster, own_cluster
from xinfer.bench.launching.subject import Subject
from xinfer.client import RESTfulClient

REHEARSAL = os.environ.get("XINFER_GPU_REHEARSAL") == "1"
"""Without a GPU: engines on the CPU, GPUs that only Ray counts, and a made-up NVML."""
_BOOK = Path(os.environ.get("XINFER_GPU_BOOK") or ROOT / "build" / "gpu" / "outcomes.jsonl")


@pytest.fixture(scope="session")
def made_up_gpu() -> Iterator[None]:
    """In a rehearsal, an NVML that reports a GPU which is not there."""
    with pytest.MonkeyPatch.context() as patch:
        if REHEARSAL:
            folder = ROOT / "tests" / "gpu" / "made_up"
            patch.syspath_prepend(str(folder))
            patch.delitem(sys.modules, "pynvml", raising=False)
            patch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")
        yield


@pytest.fixture(scope="session")
def device(made_up_gpu: None) -> Device:
    """The GPU that models are put on; skipped where there is none."""
    devices = Device.all()
    if not devices:
        pytest.skip("no NVIDIA GPU here; XINFER_GPU_REHEARSAL=1 rehearses without")
    return devices[0]


@pytest.fixture(scope="session")
def book(device: Device) -> Book:
    """Where outcomes are noted, those of the machine already there."""
    book = Book(_BOOK)
    for check, words in zip(("machine", "versions"), machine.describe(machine.facts()), strict=True):
        book.add(check, words.partition(": ")[2])
    return book


@pytest.fixture(scope="session")
def cluster(device: Device, book: Book) -> Iterator[Cluster]:
    """`xinfer start`; on a machine with GPUs Ray counts them by itself."""
    with own_cluster() as cluster:
        began = time.monotonic()
        cluster.start(*(["--num-gpus", "1"] if REHEARSAL else []))
        book.add("start", f"{time.monotonic() - began:.1f} s")
        yield cluster
        shutil.make_archive(str(_BOOK.with_name(f"logs-{os.getpid()}")), "gztar", cluster.home / "logs")


@pytest.fixture
def lab(cluster: Cluster) -> Iterator[BenchCluster]:
    """The cluster with tiny-chat to launch on a GPU of its own. Whatever a test launches is terminated after it."""
    with RESTfulClient(cluster.endpoint) as client:
        lab = BenchCluster(cluster, client, Subject(n_gpu=1))
        yield lab
        lab.clear()
