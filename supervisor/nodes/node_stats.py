"""What each node has and how busy it is, as Ray's agent on the node reports it every few seconds; no task is started for it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import ray
from ray._private.gcs_pubsub import GcsAioResourceUsageSubscriber

_log = logging.getLogger("xinfer.registry")
_FORGOTTEN_AFTER_S = 60.0
# Of a silence after which the subscription is made again: a GCS that has started anew knows of none.
_SUBSCRIPTION_S = 15.0
_RETRY_S = 2.0
_MIB = 1024**2

NodeStats = dict[str, int | float | None]
"""The detailed fields of ``/v1/cluster/info``: sizes in bytes, utilization in percent."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node's own measurements."""

    stats: NodeStats
    measured_at: float
    """Unix time in seconds, by the registry's clock, at which the report came."""


class NodeReports:
    """The latest report of every node. Ray's agents publish them through the GCS every few seconds."""

    def __init__(self) -> None:
        self._latest: dict[str, NodeReport] = {}

    def latest(self) -> dict[str, NodeReport]:
        """By Ray's node ID; none of a node that has been silent for a minute."""
        oldest = time.time() - _FORGOTTEN_AFTER_S
        self._latest = {node: report for node, report in self._latest.items() if report.measured_at >= oldest}
        return dict(self._latest)

    async def subscribe(self) -> None:
        """Take reports, for ever."""
        # Its annotations are wrong: the key is a string, and both are None after the timeout.
        subscriber: Any = GcsAioResourceUsageSubscriber(address=ray.get_runtime_context().gcs_address)
        while True:
            try:
                await subscriber.subscribe()
                while (message := await subscriber.poll(timeout=_SUBSCRIPTION_S)) != (None, None):
                    self.take(*message)
            except (grpc.RpcError, TimeoutError) as error:
                _log.warning("Ray's reports of its nodes were not reached: %s", type(error).__name__)
                await asyncio.sleep(_RETRY_S)

    def take(self, key: str, report: str) -> None:
        """One message: its key ends with the node ID."""
        node = json.loads(report)
        # The first one of a node that has just started has measured nothing.
        if node.get("mem"):
            self._latest[key.rpartition(":")[2]] = report_of(node)


def report_of(node: Mapping[str, Any]) -> NodeReport:
    """What Ray's agent on one node has published, as of now."""
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
    return NodeReport(stats, time.time())


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
