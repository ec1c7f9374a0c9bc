"""The agent of a node: an actor that reports what the node has, and does what can only be done there.

It is there from the first seconds of a node, so that a question does not wait for Ray to start a process on a busy node, and
goes on while the node is drained, when Ray takes no task for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from pathlib import Path

import psutil
import ray

from supervisor.access.key_ring import KeyRing
from supervisor.access.session import Sessions
from supervisor.nodes import hub_cache
from supervisor.nodes.benchmarks import LIMIT_S, Benchmarks
from supervisor.nodes.hub_cache import CachedRepo
from supervisor.nodes.measurements import measure
from supervisor.nodes.prefetches import Prefetches
from supervisor.nodes.spare_workers import SpareWorkers
from xinfer import node_logs
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.cluster_secret import own_session_secret
from xinfer.cluster.stopping import stop_soon
from xinfer.engine_log import tail
from xinfer.messages import ApiKey, BenchmarkRun, ModelSpec, Prefetch, Prefetched
from xinfer.names import NAMESPACE, NODE_PROCESS, REGISTRY
from xinfer.node_logs import LogLines
from xinfer.settings import EngineSettings, home

_log = logging.getLogger("xinfer.node")
_PERIOD_S = 5.0
_ANSWER_FIRST_S = 1.0
# Of a benchmark: the start of its process, and requests under way at its end.
_GRACE_S = 120.0


class NodeAgent:
    """One node's. Every method may be called at any time, and from any process of the cluster."""

    def __init__(self) -> None:
        self._node: str = ray.get_runtime_context().get_node_id()
        self._spare_workers = SpareWorkers(self._node)
        self._prefetches = Prefetches()
        self._reports = asyncio.create_task(self._report())
        self._benchmarks = Benchmarks(home() / "benchmarks")

    async def prestart_workers(self) -> None:
        """Have Ray start what is missing of the node's spare processes, in a moment."""
        self._spare_workers.top_up()

    async def tail(self, path: str, size: int) -> list[str]:
        """The last lines of a file, of at most ``size`` bytes; empty without the file."""
        return await asyncio.to_thread(tail, Path(path), size)

    async def last_lines(self, count: int) -> list[LogLines]:
        """The last lines of each of the node's logs but the engines'."""
        return await asyncio.to_thread(node_logs.last_lines, home(), count)

    async def lines_about(self, request_id: str) -> list[LogLines]:
        """The lines of the node's logs that name a request."""
        return await asyncio.to_thread(node_logs.about_request, home(), request_id)

    async def scan_hub_cache(self) -> list[CachedRepo]:
        """The models in the hub's cache."""
        return await asyncio.to_thread(hub_cache.scan)

    async def remove_from_hub_cache(self, repo: str) -> bool:
        """Delete all revisions of a model from it; True if it was there and is gone."""
        return await asyncio.to_thread(hub_cache.remove, repo)

    async def prefetch(self, spec: ModelSpec, settings: EngineSettings) -> Prefetched:
        """Bring a model's files here, however long that takes."""
        return await self._prefetches.run(Prefetch(spec, settings, str(home() / "logs" / "prefetch.log")))

    async def stop_node(self) -> None:
        """Have the node stopped in a moment, as ``xinfer stop`` does it."""
        await asyncio.to_thread(stop_soon, _ANSWER_FIRST_S)

    async def rejoin(self) -> None:
        """Have the node leave the cluster and join it anew, which takes seconds; everything that runs on it ends."""
        asyncio.get_running_loop().call_later(_ANSWER_FIRST_S, os.kill, _node_process(), signal.SIGHUP)

    async def benchmarks(self) -> list[BenchmarkRun]:
        """The runs on this node, latest first."""
        return self._benchmarks.all()

    async def start_benchmark(self, model: str, profile: str, key: ApiKey | None) -> BenchmarkRun | None:
        """Begin a run against the REST API of this node, a head, as the holder of ``key``; None while another is under way."""
        record = ClusterRecord.load(home())
        if record is None or record.endpoint is None:
            raise OSError("this node has no REST API")
        return await self._benchmarks.start(record.endpoint, model, profile, _session(key), key.name if key else "")

    async def end_benchmark(self, run_id: str) -> None:
        """Cancel a run that is under way; forget one that has ended."""
        await self._benchmarks.end(run_id)

    async def benchmark(self, run_id: str, version: int, timeout_s: float) -> BenchmarkRun | None:
        """A run once it has changed after ``version``, after ``timeout_s`` at the latest; None without such a run."""
        return await self._benchmarks.wait(run_id, version, timeout_s)

    async def _report(self) -> None:
        while True:
            report = await asyncio.to_thread(measure, self._node, home())
            try:
                registry = ray.get_actor(REGISTRY, namespace=NAMESPACE)
                await registry.call.remote("report_node", report)
            except (ValueError, ray.exceptions.RayError) as error:
                _log.warning("the registry was not reached and will be told later: %s", type(error).__name__)
            await asyncio.sleep(_PERIOD_S)


def _session(key: ApiKey | None) -> str | None:
    """Stands for ``key`` as long as a run may take. Made here: arguments of calls may be seen in Ray's lists."""
    secret = own_session_secret()
    if key is None or secret is None:
        return None
    return Sessions(KeyRing(), secret.encode()).open(key, time.time(), LIMIT_S + _GRACE_S)


def _node_process() -> int:
    """The process that has started Ray on this node."""
    for parent in psutil.Process().parents():
        if NODE_PROCESS in parent.cmdline():
            return parent.pid
    raise RuntimeError("this node was not started by xinfer")
