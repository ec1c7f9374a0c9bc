"""What a node says of its GPUs when it joins the cluster: labels that Ray keeps with the node, so that nobody has to ask it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from xinfer.gpus import Gpu, gpus
from xinfer.names import GPU_CAPABILITY_LABEL, GPU_MEMORY_LABEL


def gpu_labels() -> dict[str, str]:
    """The memory in MiB and the compute capability of this node's weakest GPU; nothing where there is none, or no driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return labels_of(gpus())
    return labels_of(gpus(), visible.split(","))


def labels_of(found: Sequence[Gpu], visible: Sequence[str] | None = None) -> dict[str, str]:
    """The labels of ``visible`` GPUs, by index or UUID; a GPU that does not report its memory leaves that of all unknown."""
    memory: list[int | None] = []
    capabilities: list[str | None] = []
    for gpu in found:
        if visible is None or str(gpu.index) in visible or gpu.uuid in visible:
            memory.append(gpu.memory_total_mib)
            capabilities.append(gpu.compute_capability)

    labels: dict[str, str] = {}
    known_memory = [mib for mib in memory if mib is not None]
    if known_memory and len(known_memory) == len(memory):
        labels[GPU_MEMORY_LABEL] = str(min(known_memory))
    known_capabilities = [capability for capability in capabilities if capability is not None]
    if known_capabilities and len(known_capabilities) == len(capabilities):
        # As numbers: 10.0 is newer than 9.0.
        labels[GPU_CAPABILITY_LABEL] = min(known_capabilities, key=float)
    return labels
