"""How the memory of a KV cache on a CPU is taken."""

from __future__ import annotations

import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from worker.vllm_patches.kv_cache_pages import FreshMemory, take_kv_cache_meanwhile, zeros_from

_SIZE = 64 * 1024 * 1024 + 4096


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def waited(memory: list[FreshMemory]) -> None:
    for each in memory:
        each.wait()


@pytest.mark.parametrize("ahead", [0, _SIZE, 2 * _SIZE], ids=["none", "as much", "more"])
def test_zeros_that_are_in_memory_once_they_were_waited_for(ahead: int) -> None:
    before = resident()
    taken = [FreshMemory(ahead)] if ahead else []
    with zeros_from(taken):
        cache = torch.zeros(_SIZE, dtype=torch.int8, device=torch.device("cpu"))
    assert len(taken) == 1
    waited(taken)
    assert _SIZE <= resident() - before < 1.5 * _SIZE, "what is not used is given back"
    assert not cache.any()
    cache += 1
    assert cache.sum(dtype=torch.int64) == _SIZE
    assert torch.zeros(3).tolist() == [0, 0, 0], "torch.zeros is its own again"


def test_two_caches_share_no_memory() -> None:
    taken = [FreshMemory(8192)]
    with zeros_from(taken):
        caches = [torch.zeros(8192, dtype=torch.int8, device="cpu") for _ in range(2)]
    waited(taken)
    caches[0] += 1
    assert [int(cache.sum()) for cache in caches] == [8192, 0]


def test_a_cache_that_is_larger_than_was_said() -> None:
    taken = [FreshMemory(4096)]
    with zeros_from(taken):
        cache = torch.zeros(8192, dtype=torch.int8, device="cpu")
    waited(taken)
    assert cache.shape == (8192,)
    assert not cache.any()


class Engine:
    """As much of vLLM as allocates a cache and takes a step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, version: str, *, cpu: bool) -> None:
        self.steps: list[str] = []

        class CPUWorker:
            cache_config = SimpleNamespace(kv_cache_memory_bytes=8192)

            def init_device(worker) -> None:  # noqa: N805
                self.steps.append("init")

            def execute_model(worker, step: str) -> str:  # noqa: N805
                self.steps.append(step)
                return f"{step} done"

        def allocate_kv_cache(size: int) -> torch.Tensor:
            return torch.zeros(size, dtype=torch.int8, device="cpu")

        self.worker: Any = CPUWorker
        self.plain = allocate_kv_cache
        self.runner: Any = ModuleType("vllm.v1.worker.gpu_model_runner")
        self.runner.allocate_kv_cache = allocate_kv_cache
        platform = SimpleNamespace(is_cpu=lambda: cpu)
        modules = {
            "vllm": SimpleNamespace(__version__=version),
            "vllm.platforms": SimpleNamespace(current_platform=platform),
            "vllm.v1.worker.gpu_model_runner": self.runner,
            "vllm.v1.worker.cpu_worker": SimpleNamespace(CPUWorker=CPUWorker),
        }
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("size", [8192, None], ids=["the size is known", "the size is found out"])
def test_first_step_waits_for_the_memory(monkeypatch: pytest.MonkeyPatch, size: int | None) -> None:
    taken = threading.Event()
    monkeypatch.setattr(FreshMemory, "_take", lambda _: taken.wait(30))
    engine = Engine(monkeypatch, "0.32.0", cpu=True)
    if size is None:
        engine.worker.cache_config.kv_cache_memory_bytes = None
    plain = engine.worker.execute_model
    take_kv_cache_meanwhile()
    engine.worker().init_device()
    cache = engine.runner.allocate_kv_cache(4096)
    assert not cache.any(), "the server starts meanwhile"

    results: list[str] = []
    step = threading.Thread(target=lambda: results.append(engine.worker().execute_model("first")))
    step.start()
    step.join(0.2)
    assert engine.steps == ["init"]
    taken.set()
    step.join(30)
    assert results == ["first done"]
    assert engine.worker.execute_model is plain, "later steps ask nothing"


@pytest.mark.parametrize(("version", "cpu"), [("0.33.0", True), ("0.32.0", False)])
def test_another_version_or_a_gpu_is_left_alone(monkeypatch: pytest.MonkeyPatch, version: str, cpu: bool) -> None:
    engine = Engine(monkeypatch, version, cpu=cpu)
    take_kv_cache_meanwhile()
    assert engine.runner.allocate_kv_cache is engine.plain
    engine.worker().init_device()
    assert engine.steps == ["init"]
