"""What vLLM loads of its compiled models on CPUs."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
import vllm
from torch._inductor import codecache

from worker.cpu_model import IS_COMPILED
from worker.vllm_patches.cpu_compilation import load_compiled_models, warm_up_shortly


def load(monkeypatch: pytest.MonkeyPatch, compiled: object) -> object:
    """What vLLM gets to see of ``compiled``."""
    loaded = SimpleNamespace(_artifacts=SimpleNamespace(compiled_fn=compiled))
    monkeypatch.setattr(torch.compiler, "load_compiled_function", lambda _: loaded)
    load_compiled_models()
    return torch.compiler.load_compiled_function(None)._artifacts.compiled_fn  # type: ignore[arg-type]


def test_inductors_function_has_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled() -> None: ...

    assert load(monkeypatch, compiled) is compiled
    assert compiled.finalize_loading(None) is None  # type: ignore[attr-defined]


def test_vllms_own_keeps_its_method(monkeypatch: pytest.MonkeyPatch) -> None:
    def finalize(_: object) -> str:
        return "done"

    assert load(monkeypatch, SimpleNamespace(finalize_loading=finalize)).finalize_loading is finalize  # type: ignore[attr-defined]


def test_another_version_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "__version__", "0.33.0")

    def compiled() -> None: ...

    assert not hasattr(load(monkeypatch, compiled), "finalize_loading")


@pytest.mark.parametrize("broken", [False, True], ids=["whole", "a part was removed"])
def test_headers_are_read_only_where_something_is_compiled(monkeypatch: pytest.MonkeyPatch, *, broken: bool) -> None:
    precompile = codecache._precompile_header
    found = []

    def load_once(_: object) -> object:
        found.append(codecache._precompile_header is precompile)
        if broken and not found[-1]:
            raise RuntimeError("it cannot be compiled without")
        return SimpleNamespace(_artifacts=SimpleNamespace(compiled_fn=lambda: None))

    monkeypatch.setattr(torch.compiler, "load_compiled_function", load_once)
    load_compiled_models()
    torch.compiler.load_compiled_function(None)  # type: ignore[arg-type]
    assert found == ([False, True] if broken else [False])
    assert codecache._precompile_header is precompile


class Runner:
    """vLLM's, as far as it warms a model up."""

    def __init__(self, most: int) -> None:
        self.max_num_tokens = most
        self.steps: list[int] = []

    def warming_up_model(self) -> None:
        self.steps.append(self.max_num_tokens)
        if self.max_num_tokens == 13:
            raise RuntimeError("out of memory")


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> type[Runner]:
    monkeypatch.setattr(Runner, "warming_up_model", Runner.warming_up_model)
    monkeypatch.setitem(sys.modules, "vllm.v1.worker.cpu_model_runner", SimpleNamespace(CPUModelRunner=Runner))
    return Runner


@pytest.mark.parametrize(("compiled", "most", "step"), [("1", 2048, 64), ("1", 16, 16), ("", 2048, 2048)])
def test_what_is_only_loaded_needs_no_long_step(
    monkeypatch: pytest.MonkeyPatch, runner: type[Runner], compiled: str, most: int, step: int
) -> None:
    monkeypatch.setenv(IS_COMPILED, compiled)
    warm_up_shortly()
    made = runner(most)
    made.warming_up_model()
    assert (made.steps, made.max_num_tokens) == ([step], most)


def test_a_step_that_fails_leaves_the_limit(monkeypatch: pytest.MonkeyPatch, runner: type[Runner]) -> None:
    monkeypatch.setenv(IS_COMPILED, "1")
    warm_up_shortly()
    made = runner(13)
    with pytest.raises(RuntimeError, match="out of memory"):
        made.warming_up_model()
    assert made.max_num_tokens == 13
