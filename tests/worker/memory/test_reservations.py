"""Two launches at the same moment do not count on the same memory."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from worker.memory import limits
from worker.memory.check import check_memory
from worker.memory.node_memory import Memory
from worker.memory.reservations import Ledger, Reservation, Reservations
from xinfer.catalog.memory import GIB
from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings

MACHINE = Memory(64 * GIB, 30 * GIB)


def held(*reservations: Reservation) -> Reservations:
    return Reservations({each.owner: each for each in reservations})


def free_gib(memories: list[Memory]) -> list[float]:
    return [memory.free_bytes / GIB for memory in memories]


def test_what_others_hold_is_not_free() -> None:
    reservations = held(Reservation("a", 10 * GIB), Reservation("b", 15 * GIB))
    assert free_gib(reservations.left([MACHINE], (), "c")) == [5]
    assert free_gib(reservations.left([MACHINE], (), "a")) == [15], "its own is"
    reservations.take(Reservation("d", 50 * GIB))
    assert free_gib(reservations.left([MACHINE], (), "c")) == [0]


def test_gpus_and_the_machine_are_counted_apart() -> None:
    gpus = [Memory(80 * GIB, 80 * GIB)] * 2
    reservations = held(Reservation("a", 40 * GIB, ("1",)), Reservation("b", 20 * GIB, ("1", "2")))
    assert free_gib(reservations.left(gpus, ("0", "1"), "c")) == [80, 20]
    assert free_gib(reservations.left([MACHINE], (), "c")) == [30]
    assert reservations.others(("0", "1"), "c")
    assert not reservations.others(("0",), "c")
    assert not reservations.others((), "c")


def test_a_ledger_keeps_what_living_processes_hold(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run" / "memory.json")
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(process.pid).create_time()
    other = Reservation("other", GIB, ("0",), process.pid, started)
    with ledger.turn() as reservations:
        ledger.reserve(reservations, "own", 2 * GIB, ())
        reservations.take(other)
        reservations.take(replace(other, owner="before", started=started - 5))
    with ledger.turn() as reservations:
        assert set(reservations.held) == {"own", "other"}, "a process id may come again"
        assert reservations.held["other"] == other
    process.communicate(b"\n")
    with ledger.turn() as reservations:
        assert set(reservations.held) == {"own"}
    ledger.release("own")
    ledger.release("own")
    (tmp_path / "run" / "memory.json").write_text('[{"owner": "cut o')
    with ledger.turn() as reservations:
        assert not reservations.held


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSpec:
    """8 GiB of weights; with cache, overhead and what stays free, an engine needs 11."""
    monkeypatch.setattr(limits, "is_cpu_build", lambda: False)
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    shape = {"hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 1, "max_position_embeddings": 8}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **shape}))
    with (tmp_path / "model.safetensors").open("wb") as content:
        content.truncate(16 * GIB)
    return ModelSpec("m", "f", str(tmp_path))


def test_second_of_two_launches_waits_for_the_first_and_is_refused_then(model: ModelSpec, tmp_path: Path) -> None:
    """The first is loading still: only when it has its memory is it known whether there is room for the second."""
    ledger = Ledger(tmp_path / "memory.json")
    free = [20 * GIB]

    def check(owner: str) -> None:
        def look(_: object) -> list[Memory]:
            return [Memory(64 * GIB, free[0])]

        check_memory(model, EngineSettings(), ledger=ledger, owner=owner, look=look, patience_s=0)

    check("first")
    ended: list[str] = []

    def second() -> None:
        try:
            check("second")
        except LaunchRefused as refusal:
            ended.append(refusal.message)

    thread = threading.Thread(target=second)
    thread.start()
    thread.join(0.8)
    assert thread.is_alive()
    free[0] -= 10 * GIB
    ledger.release("first")
    thread.join(5)
    assert "10.00 GiB are free" in ended[0]

    free[0] = 20 * GIB
    check("second")
    ledger.release("second")
