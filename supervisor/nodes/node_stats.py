"""What each node has and how busy it is, as Ray's agent on the node reports it every few seconds; no task is started for it."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray._private.services import get_webui_url_from_internal_kv

from xinfer.errors import Unavailable
from xinfer.reachable import open_directly

_TIMEOUT_S = 3.0
_MIB = 1024**2

NodeStats = dict[str, int | float | None]
"""The detailed fields of ``/v1/cluster/info``: sizes in bytes, utilization in percent."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node's own measurements."""

    stats: NodeStats
    measured_at: float
    """Unix time in seconds, by that node's clock."""


async def node_reports() -> dict[str, NodeReport]:
    """The latest report of every node by Ray's node ID. To be called on the head; ``Unavailable`` if Ray's dashboard is away."""
    try:
        summary = await asyncio.to_thread(_summary)
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable("Ray's dashboard does not respond.", retry_after_s=2) from error
    return {node["raylet"]["nodeId"]: report_of(node) for node in summary if node.get("mem")}


def report_of(node: Mapping[str, Any]) -> NodeReport:
    """The report in one node's entry of the dashboard's ``/nodes?view=summary``."""
    cpus = node["cpus"][0]
    total, available, _, used = node["mem"]
    stats: NodeStats = {
        "cpu_count": cpus,
        "cpu_available": round(cpus * (1 - node["cpu"] / 100), 2),
        "mem_total": total,
        "mem_used": used,
        "mem_available": available,
        **gpu_stats(node.get("gpus") or ()),
    }
    return NodeReport(stats, node["now"])


def gpu_stats(found: Iterable[Mapping[str, Any]]) -> NodeStats:
    """The sums of memory over the GPUs, and their mean utilization from 0 to 100, None without a GPU."""
    total = 0
    used = 0
    utilizations = []
    for gpu in found:
        # A GPU that is split with MIG does not report its utilization, and is left out of all three.
        if gpu["utilizationGpu"] is None:
            continue
        total += gpu["memoryTotal"] * _MIB
        used += gpu["memoryUsed"] * _MIB
        utilizations.append(gpu["utilizationGpu"])

    utilization = None
    if utilizations:
        utilization = sum(utilizations) / len(utilizations)
    return {
        "gpu_vram_total": total,
        "gpu_vram_available": total - used,
        "gpu_utilization": utilization,
    }


def _summary() -> list[dict[str, Any]]:
    address = get_webui_url_from_internal_kv()
    if not address:
        raise ConnectionError("Ray has no dashboard")
    request = urllib.request.Request(f"http://{address}/nodes?view=summary")
    token = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if token:
        request.add_header("Authorization", f"Bearer {Path(token).read_text().strip()}")
    with open_directly(request, timeout=_TIMEOUT_S) as response:
        summary: list[dict[str, Any]] = json.load(response)["data"]["summary"]
    return summary
