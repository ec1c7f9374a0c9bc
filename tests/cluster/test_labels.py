"""What a node tells of its GPUs, and what operators tell of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ray._private.label_utils import parse_node_labels_string, validate_node_label_syntax, validate_node_labels

from tests.bench.nvml import H100, made_up_nvml
from xinfer.cluster.gpu_labels import gpu_labels, labels_of
from xinfer.cluster.options import StartOptions
from xinfer.gpus import Gpu
from xinfer.names import GPU_CAPABILITY_LABEL, GPU_MEMORY_LABEL
from xinfer.node_labels import as_text, parse_labels


def gpu(index: int, uuid: str, mib: int | None, capability: str | None) -> Gpu:
    total = None if mib is None else mib * 1024**2
    return Gpu(index, uuid, "a GPU", total, total, 0, 0, capability)


TWO = [gpu(0, "GPU-aaa", 81559, "9.0"), gpu(1, "GPU-bbb", 24564, "8.9")]


@pytest.mark.parametrize(
    ("table", "visible", "memory", "capability"),
    [
        (TWO, None, "24564", "8.9"),
        (TWO, ["0"], "81559", "9.0"),
        (TWO, ["GPU-bbb"], "24564", "8.9"),
        (TWO, [""], None, None),
        ([gpu(0, "GPU-aaa", None, "9.0")], None, None, "9.0"),
        ([gpu(0, "GPU-aaa", 9000, "10.0"), gpu(1, "GPU-bbb", 81559, "9.0")], None, "9000", "9.0"),
        ([gpu(0, "GPU-aaa", None, None)], None, None, None),
        ([], None, None, None),
    ],
)
def test_the_weakest_gpu_that_counts(
    table: list[Gpu], visible: list[str] | None, memory: str | None, capability: str | None
) -> None:
    told = labels_of(table, visible)
    assert (told.get(GPU_MEMORY_LABEL), told.get(GPU_CAPABILITY_LABEL)) == (memory, capability)


def test_ray_takes_the_labels() -> None:
    labels = labels_of(TWO)
    assert parse_node_labels_string(as_text(labels)) == labels
    validate_node_label_syntax(labels)
    validate_node_labels(labels)


def test_the_driver_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    made_up_nvml(tmp_path, monkeypatch, [])
    assert gpu_labels() == {}
    made_up_nvml(tmp_path, monkeypatch, [H100, {**H100, "uuid": "GPU-bbb", "total": 24564}])
    assert gpu_labels()[GPU_MEMORY_LABEL] == "24564"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert gpu_labels()[GPU_MEMORY_LABEL] == "81559"
    made_up_nvml(tmp_path, monkeypatch, fails=True)
    assert gpu_labels() == {}


def test_labels_of_operators_as_ray_takes_them() -> None:
    given = parse_labels(["gpu=A100", "zone=eu-1.a", "example.com/rack=7"])
    assert given == {"gpu": "A100", "zone": "eu-1.a", "example.com/rack": "7"}
    assert parse_node_labels_string(as_text(given)) == given
    validate_node_labels(given)
    assert StartOptions(labels=given).labels == given


@pytest.mark.parametrize(
    "word",
    [
        "gpu",
        "=A100",
        "gpu=",
        "gpu=in(a,b)",
        "gpu=!a",
        "gpu=a,b=c",
        "g u=a",
        "gpu=" + "a" * 64,
        "xinfer.gpu-memory-mib=1",
        "ray.io/node-id=a",
    ],
)
def test_labels_that_nobody_may_give(word: str) -> None:
    with pytest.raises(ValueError, match=re.escape(word[:5])):
        parse_labels([word])
