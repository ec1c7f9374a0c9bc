"""What vLLM loads of its compiled models on CPUs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import vllm
from torch._inductor import codecache

from worker.vllm_patches.cpu_compilation import load_compiled_models


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
