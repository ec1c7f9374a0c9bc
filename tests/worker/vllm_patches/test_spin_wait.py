"""How an engine's processes are told to wait for each other."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest

from worker.vllm_patches.spin_wait import leave_cores_to_others

_MODULE = "vllm.distributed.device_communicators"


@pytest.mark.parametrize(("cores", "naps"), [(1, True), (2, True), (3, False), (64, False)])
def test_by_the_number_of_cores(monkeypatch: pytest.MonkeyPatch, cores: int, naps: bool) -> None:
    def spin() -> None: ...

    broadcast = SimpleNamespace(sched_yield=spin)
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "vllm.distributed", SimpleNamespace())
    monkeypatch.setitem(sys.modules, _MODULE, SimpleNamespace(shm_broadcast=broadcast))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    leave_cores_to_others()
    assert (broadcast.sched_yield is not spin) == naps
    before = time.thread_time()
    began = time.monotonic()
    for _ in range(1000 if naps else 0):
        broadcast.sched_yield()
    assert time.thread_time() - before <= (time.monotonic() - began) / 2 + 0.001, "it takes the core nonetheless"
