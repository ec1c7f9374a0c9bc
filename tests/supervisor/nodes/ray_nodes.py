"""Nodes as Ray describes them."""

from __future__ import annotations

from typing import Any

from xinfer.names import GPU_CAPABILITY_LABEL, GPU_MEMORY_LABEL

GIB = 1024**3
LABELS = {GPU_MEMORY_LABEL: "81920", GPU_CAPABILITY_LABEL: "9.0"}


def ray_node(address: str, gpus: float, **labels: str) -> dict[str, Any]:
    resources = {"CPU": 8.0, "memory": 16.0 * GIB, **({"GPU": gpus} if gpus else {})}
    return {"NodeManagerAddress": address, "Resources": resources, "Labels": {"ray.io/node-id": "a", **labels}}
