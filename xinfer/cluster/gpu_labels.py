"""What a node says of its GPUs when it joins the cluster: labels that Ray keeps with the node, so that nobody has to ask it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from xinfer.names import GPU_CAPABILITY_LABEL, GPU_MEMORY_LABEL
from xinfer.nvidia_smi import query_gpus, rows


def gpu_labels() -> dict[str, str]:
    """The memory in MiB and the compute capability of this node's weakest GPU; nothing where there is none, or no driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    table = query_gpus("index", "uuid", "memory.total", "compute_cap")
    if table is None:
        return {}
    return labels_of(table, None if visible is None else visible.split(","))


def labels_of(table: str, visible: Sequence[str] | None = None) -> dict[str, str]:
    """The labels by the lines of nvidia-smi; a GPU that does not tell its memory leaves that of all unknown."""
    counted = [row for row in rows(table, 4) if visible is None or row[0] in visible or row[1] in visible]
    weakest = {
        GPU_MEMORY_LABEL: _least([row[2] for row in counted]),
        GPU_CAPABILITY_LABEL: _least([row[3] for row in counted]),
    }
    return {name: value for name, value in weakest.items() if value is not None}


def as_argument(labels: Mapping[str, str]) -> str:
    """As ``ray start --labels`` takes them."""
    return ",".join(f"{name}={value}" for name, value in labels.items())


def _least(numbers: Sequence[str]) -> str | None:
    """None if one of them is no number, or if there are none."""
    try:
        return min(numbers, key=float, default=None)
    except ValueError:
        return None
