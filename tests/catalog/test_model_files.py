"""What is read of a model's files, whole or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xinfer.catalog.model_files import indexed_files, read_object, snapshot_folder


def test_object(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    assert read_object(file) == {}
    file.write_text('{"model_type": "qwen3"}')
    assert read_object(file) == {"model_type": "qwen3"}


@pytest.mark.parametrize("content", ["[1]", "{", "\xff", "[" * 100_000], ids=["list", "cut", "latin-1", "deep"])
def test_no_object(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(content.encode("latin-1"))
    assert read_object(file) == {}


@pytest.mark.parametrize(
    ("index", "names"),
    [
        (
            {"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"}},
            ["1.safetensors", "2.safetensors"],
        ),
        ({"weight_map": {"a": 1}}, []),
        ({"weight_map": "1.safetensors"}, []),
        ({}, []),
    ],
    ids=["two files", "a number", "no map", "nothing"],
)
def test_indexed_files(tmp_path: Path, index: dict[str, object], names: list[str]) -> None:
    file = tmp_path / "model.safetensors.index.json"
    file.write_text(json.dumps(index))
    assert sorted(indexed_files(file)) == names


def test_snapshot_of_no_hub_id() -> None:
    assert snapshot_folder("/models/no/hub/id") is None
