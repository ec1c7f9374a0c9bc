"""Sizes of weights: of files, of models known by their size alone, and of what an engine makes of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xinfer.catalog.weights import StoredWeights, loaded_bytes, weights_by_size, weights_in
from xinfer.tiny_chat import model_path

FP8 = {"quantization_config": {"quant_method": "fp8"}}


def sized(file: Path, size: int) -> None:
    with file.open("wb") as content:
        content.truncate(size)


def indexed(folder: Path, name: str, files: list[str], total: Any) -> None:
    weight_map = {f"layer.{number}": file for number, file in enumerate([*files, *files])}
    (folder / name).write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}))


def with_header(file: Path, tensors: dict[str, tuple[str, int]]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for name, (dtype, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": [size], "data_offsets": [0, size]}
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text)


def one_file(folder: Path) -> int:
    sized(folder / "model.safetensors", 1000)
    sized(folder / "pytorch_model.bin", 5000)  # the same again, which engines leave alone
    sized(folder / "adapter_model.safetensors", 70)
    return 1000


def several_files_and_their_index(folder: Path) -> int:
    for number in (1, 2, 3):
        sized(folder / f"model-0000{number}-of-00003.safetensors", number * 100)
    sized(folder / "of-another-make.safetensors", 5000)
    indexed(folder, "model.safetensors.index.json", [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)], 590)
    return 600


def an_index_whose_files_are_elsewhere(folder: Path) -> int:
    sized(folder / "model-1.safetensors", 100)
    indexed(folder, "model.safetensors.index.json", ["model-1.safetensors", "model-2.safetensors"], 16_060_522_496)
    return 16_060_522_496


def a_broken_index(folder: Path) -> int:
    sized(folder / "model.safetensors", 300)
    (folder / "model.safetensors.index.json").write_text("{")
    return 300


def an_index_of_nothing(folder: Path) -> int:
    sized(folder / "model.safetensors", 300)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}, "metadata": {}}')
    return 300


def pickled(folder: Path) -> int:
    sized(folder / "pytorch_model-1.bin", 100)
    sized(folder / "pytorch_model-2.bin", 100)
    sized(folder / "training_args.bin", 7)
    return 200


def in_mistral_s_two_forms(folder: Path) -> int:
    sized(folder / "consolidated.safetensors", 900)
    sized(folder / "model.safetensors", 1000)
    return 1000


def in_mistral_s_own_form(folder: Path) -> int:
    sized(folder / "consolidated.safetensors", 900)
    return 900


@pytest.mark.parametrize(
    "make",
    [
        one_file,
        several_files_and_their_index,
        an_index_whose_files_are_elsewhere,
        a_broken_index,
        an_index_of_nothing,
        pickled,
        in_mistral_s_two_forms,
        in_mistral_s_own_form,
    ],
)
def test_weights_in_a_folder(tmp_path: Path, make: Callable[[Path], int]) -> None:
    expected = make(tmp_path)
    found = weights_in(tmp_path)
    assert found is not None
    assert found.bytes == expected


def test_links_count_as_what_they_lead_to(tmp_path: Path) -> None:
    """So the hub's cache holds files."""
    sized(tmp_path / "blob", 1000)
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to(tmp_path / "blob")
    assert weights_in(tmp_path / "snapshot") == StoredWeights(1000)


def test_no_weights(tmp_path: Path) -> None:
    assert weights_in(tmp_path) is None
    assert weights_in(tmp_path / "nowhere") is None


def test_dtype_is_that_of_most_bytes(tmp_path: Path) -> None:
    with_header(tmp_path / "model.safetensors", {"a": ("F32", 100), "b": ("BF16", 80), "c": ("BF16", 80)})
    found = weights_in(tmp_path)
    assert found is not None
    assert found.dtype == "BF16"


def test_tiny_chat() -> None:
    found = weights_in(model_path())
    assert found == StoredWeights((model_path() / "model.safetensors").stat().st_size, "BF16")


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b"\x05\0\0\0\0\0\0\0{bad}"])
def test_file_with_a_broken_header_has_its_size_all_the_same(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert weights_in(tmp_path) == StoredWeights(len(content))


@pytest.mark.parametrize(
    ("size", "facts", "gigabytes"),
    [
        ("8", (), 16),
        (0.6, ("pytorch", "none"), 1.2),
        ("8", ("fp8", "fp8"), 1.92 + 7.04),
        ("8", ("gptq", "Int4"), 1.92 + 7.04 * 4.5 / 8),
        ("8", ("gptq", "Int8"), 1.92 + 7.04),
        ("8", ("awq", None), 1.92 + 7.04 * 4.5 / 8),
        ("31", ("fp4", "FP4"), 2 + 30 * 4.5 / 8),
        ("70", ("bnb", "4-bit"), 2 + 69 * 4.5 / 8),
    ],
)
def test_weights_by_size(size: str | float, facts: tuple[Any, ...], gigabytes: float) -> None:
    assert weights_by_size(size, *facts) == pytest.approx(gigabytes * 1e9)


@pytest.mark.parametrize(
    ("size", "facts", "gigabytes"),
    [
        ("4", ("awq", "Int4"), 2.67),
        ("8", ("awq", "Int4"), 6.10),
        ("8", ("fp8", "fp8"), 9.44),
        ("14", ("awq", "Int4"), 9.98),
        ("32", ("awq", "Int4"), 19.33),
        ("32", ("pytorch", "none"), 65.52),
        ("235", ("gptq", "Int4"), 125),
    ],
)
def test_weights_by_size_come_near_to_files_on_the_hub(size: str, facts: tuple[str, str], gigabytes: float) -> None:
    """Those of Qwen3: names round its sizes, 8.2 billion to 8 and 14.8 to 14."""
    assert weights_by_size(size, *facts) == pytest.approx(gigabytes * 1e9, rel=0.13)


@pytest.mark.parametrize(
    ("stored", "config", "how", "expected"),
    [
        (StoredWeights(1000, "BF16"), {}, {}, 1000),
        (StoredWeights(1000, "F32"), {}, {}, 500),
        (StoredWeights(1000, "F32"), {}, {"dtype": "float32"}, 1000),
        (StoredWeights(1000, "BF16"), {}, {"dtype": "float32"}, 2000),
        (StoredWeights(1000), {"torch_dtype": "bfloat16"}, {}, 1000),
        (StoredWeights(1000), {"text_config": {"dtype": "float32"}}, {}, 500),
        (StoredWeights(1000), {}, {}, 500),  # nobody says: the least
        (StoredWeights(1000, "F32"), {"quantization_config": None}, {}, 500),
        (StoredWeights(1000, "I8"), FP8, {}, 1000),
        (StoredWeights(1000, "F32"), {"text_config": FP8}, {}, 1000),
        (StoredWeights(1000, "BF16"), {}, {"quantization": "bitsandbytes"}, 250),
        (StoredWeights(1000, "BF16"), {}, {"quantization": "fp8"}, 500),
        (StoredWeights(6200, "BF16"), {"num_hidden_layers": 61, "num_nextn_predict_layers": 1}, {}, 6100),
    ],
)
def test_what_an_engine_makes_of_them(
    stored: StoredWeights, config: dict[str, Any], how: dict[str, str], expected: int
) -> None:
    assert loaded_bytes(stored, config, **how) == expected
