"""What is found out of compilers, and taken over by the next process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch._inductor import codecache, cpu_vec_isa

from worker.fork_server import compilers


def forget() -> None:
    """Be a process that has found out nothing."""
    codecache.torch_key.clear()
    codecache.triton_key.clear()
    codecache.CacheBase.get_system.cache_clear()
    cpu_vec_isa.valid_vec_isa_list.cache_clear()
    cpu_vec_isa.VecISA._VecISA__bool__impl.cache_clear()


def known() -> tuple[Any, ...]:
    instructions = [str(each) for each in cpu_vec_isa.valid_vec_isa_list()]
    return codecache.torch_key(), codecache.triton_key(), instructions, codecache.CacheBase.get_system()


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One that nothing is known of, and whose compiler can do AVX2 alone."""
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path))
    monkeypatch.setattr(cpu_vec_isa.VecISA, "check_build", lambda isa, _code: str(isa) == "avx2")
    forget()
    yield
    forget()


def test_the_next_process_does_not_look_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not compilers.recall()
    compilers.learn()
    learned = known()
    assert learned[2] == ["avx2"]
    assert [file.suffix for file in (tmp_path / "xinfer").iterdir()] == [".json"]

    forget()

    def looks(*_: object, **__: object) -> None:
        raise AssertionError("it looks again")

    monkeypatch.setattr(subprocess, "run", looks)
    monkeypatch.setattr(cpu_vec_isa.VecISA, "check_build", looks)
    monkeypatch.setattr(codecache, "build_code_hash", looks)
    assert compilers.recall()
    assert known() == learned
    assert cpu_vec_isa.VecISA.check_build is looks, "others may still be tried"


def test_another_compiler_or_processor_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compilers.learn()
    forget()
    with monkeypatch.context() as other:
        other.setattr(compilers, "processor_flags", lambda: ["sse2"])
        assert not compilers.recall()
    gcc = tmp_path / "g++"
    gcc.touch()
    with monkeypatch.context() as other:
        other.setattr(compilers, "compiler", lambda: gcc)
        assert not compilers.recall()
    assert compilers.recall()


def test_a_broken_file_is_as_good_as_none(tmp_path: Path) -> None:
    compilers.learn()
    (file,) = (tmp_path / "xinfer").iterdir()
    file.write_bytes(file.read_bytes()[:-10])
    forget()
    assert not compilers.recall()
    compilers.learn()
    forget()
    assert compilers.recall()
