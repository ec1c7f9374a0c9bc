"""How many threads compute a model without a GPU, and what a small one is computed in."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from worker import cpu_model
from worker.command import engine_argv
from worker.memory import limits
from worker.memory.check import memory_requirement
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings

ZEN_3 = "fpu vme sse4_2 avx avx2 bmi2 sha_ni"
SAPPHIRE_RAPIDS = f"{ZEN_3} avx512f avx512dq avx512bw avx512vl avx512_bf16 amx_tile"
TINY_CHAT = Path(__file__).resolve().parents[2] / "xinfer" / "tiny_chat" / "model"
SETTINGS = EngineSettings()


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that says what the processor can do: a Zen 3, until a test writes something else."""
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nflags\t\t: {ZEN_3}\n\nprocessor\t: 1\nflags\t\t: {ZEN_3}\n")
    monkeypatch.setattr(cpu_model, "_CPU_INFO", file)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    cpu_model.computes_16_bits.cache_clear()
    yield file
    cpu_model.computes_16_bits.cache_clear()


@pytest.fixture
def model(tmp_path: Path) -> ModelSpec:
    for file in TINY_CHAT.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return ModelSpec(uid="m", name="f", path=str(tmp_path))


def dtypes(model: ModelSpec) -> list[str]:
    """Those on the engine's command line."""
    argv = engine_argv(model, SETTINGS, "127.0.0.1", 4711)
    return [value for name, value in pairwise(argv) if name == "--dtype"]


@pytest.mark.usefixtures("processor")
def test_32_bits_where_16_are_slow(model: ModelSpec) -> None:
    assert dtypes(model) == ["float32"]


@pytest.mark.parametrize(("machine", "flags"), [("x86_64", SAPPHIRE_RAPIDS), ("aarch64", "fp asimd")])
def test_elsewhere_vllm_chooses(
    model: ModelSpec, processor: Path, monkeypatch: pytest.MonkeyPatch, machine: str, flags: str
) -> None:
    processor.write_text(f"flags\t\t: {flags}\n")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert dtypes(model) == []


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize(
    "facts",
    [{"workers": 2}, {"engine_args": {"quantization": "fp8"}}, {"quantization": "Int8"}],
    ids=["gang", "quantized by the engine", "quantized by the catalog"],
)
def test_vllm_chooses_for_what_may_need_another(model: ModelSpec, facts: dict[str, Any]) -> None:
    assert dtypes(replace(model, **facts)) == []


@pytest.mark.usefixtures("processor")
def test_quantized_checkpoints_stay_as_they_are(model: ModelSpec) -> None:
    file = Path(model.path) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "quantization_config": {"quant_method": "awq"}}))
    assert dtypes(model) == []


@pytest.mark.usefixtures("processor")
def test_large_models_stay_as_they_are(model: ModelSpec) -> None:
    with (Path(model.path) / "model.safetensors").open("r+b") as file:
        file.truncate(2 * 1024**3 + 1)
    assert dtypes(model) == []


@pytest.mark.usefixtures("processor")
def test_models_on_gpus_stay_as_they_are(model: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "is_cpu_build", lambda: False)
    assert dtypes(replace(model, gpus=1)) == []


@pytest.mark.usefixtures("processor")
def test_launch_says_otherwise(model: ModelSpec) -> None:
    assert dtypes(replace(model, engine_args={"dtype": "bfloat16"})) == ["bfloat16"]


@pytest.mark.parametrize(
    ("siblings", "threads"),
    [
        (["0"], 1),
        (["0", "1"], 1),
        (["0-1", "0-1"], 1),
        (["0", "1", "2", "3", "4", "5", "6", "7"], 7),
        (["0,4", "1,5", "2,6", "3,7"] * 2, 4),
    ],
    ids=["one", "two", "two of one core", "eight", "four cores with two each"],
)
def test_a_thread_for_each_core_but_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, siblings: list[str], threads: int
) -> None:
    for number, shared in enumerate(siblings):
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{shared}\n")
    monkeypatch.setattr(cpu_model, "_CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(len(siblings))))
    assert cpu_model.threads() == threads


def test_threads_where_cores_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_model, "_CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert cpu_model.threads() == 4


def test_memory_is_counted_in_what_it_is_computed_in(model: ModelSpec, processor: Path) -> None:
    in_32_bits = memory_requirement(model, SETTINGS)
    processor.write_text(f"flags\t\t: {SAPPHIRE_RAPIDS}\n")
    cpu_model.computes_16_bits.cache_clear()
    in_16_bits = memory_requirement(model, SETTINGS)
    assert in_32_bits
    assert in_16_bits
    assert in_32_bits.weights_bytes == 2 * in_16_bits.weights_bytes
    assert in_32_bits.estimate.kv_cache_bytes == 2 * in_16_bits.estimate.kv_cache_bytes
