"""What a node tells of its GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray._private.label_utils import parse_node_labels_string, validate_node_label_syntax, validate_node_labels

from xinfer.cluster.gpu_labels import as_argument, gpu_labels, labels_of
from xinfer.names import GPU_CAPABILITY_LABEL, GPU_MEMORY_LABEL

TWO = "0, GPU-aaa, 81559, 9.0\n1, GPU-bbb, 24564, 8.9\n"


@pytest.mark.parametrize(
    ("table", "visible", "memory", "capability"),
    [
        (TWO, None, "24564", "8.9"),
        (TWO, ["0"], "81559", "9.0"),
        (TWO, ["GPU-bbb"], "24564", "8.9"),
        (TWO, [""], None, None),
        ("0, GPU-aaa, [N/A], 9.0\n", None, None, "9.0"),
        ("0, GPU-aaa, 9000, 10.0\n1, GPU-bbb, 81559, 9.0\n", None, "9000", "9.0"),
        ("No devices were found\n", None, None, None),
        ("", None, None, None),
    ],
)
def test_the_weakest_gpu_that_counts(
    table: str, visible: list[str] | None, memory: str | None, capability: str | None
) -> None:
    told = labels_of(table, visible)
    assert (told.get(GPU_MEMORY_LABEL), told.get(GPU_CAPABILITY_LABEL)) == (memory, capability)


def test_ray_takes_the_labels() -> None:
    labels = labels_of(TWO)
    assert parse_node_labels_string(as_argument(labels)) == labels
    validate_node_label_syntax(labels)
    validate_node_labels(labels)


def test_the_driver_s_command_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_labels() == {}
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\nprintf '{TWO.encode('unicode_escape').decode()}'\n")
    command.chmod(0o700)
    assert gpu_labels()[GPU_MEMORY_LABEL] == "24564"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert gpu_labels()[GPU_MEMORY_LABEL] == "81559"
    command.write_text("#!/bin/sh\nexit 9\n")
    assert gpu_labels() == {}
