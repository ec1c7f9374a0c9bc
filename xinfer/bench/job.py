"""One ``xinfer bench``: finds the models, opens what measures, and runs the plan."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from xinfer.bench import cpu, machine
from xinfer.bench.cpu import Watched
from xinfer.bench.engines import Engines
from xinfer.bench.gpus import Gpus
from xinfer.bench.plan import Plan
from xinfer.bench.progress import Progress
from xinfer.bench.result import Result
from xinfer.bench.runner import Runner
from xinfer.bench.sender import Sender
from xinfer.bench.stats import values_of
from xinfer.bench.target import Server, Side, Target, choose
from xinfer.bench.workload import Workload
from xinfer.cluster import tls
from xinfer.cluster.cluster_record import ClusterRecord

T = TypeVar("T")

_MODEL_OPTIONS: dict[Side, str] = {"a": "--model", "b": "--versus-model"}


@dataclass(frozen=True, slots=True)
class Job:
    """What to measure. A model that is not named is looked up."""

    plan: Plan
    workload: Workload
    servers: Mapping[Side, Server]
    models: Mapping[Side, str | None]
    watched: Watched = field(default_factory=dict)
    """Processes whose CPU time is read, beside those of a cluster that is found on this machine."""
    engines: tuple[str, ...] = ()
    """Addresses of vLLM engines behind the servers, whose counters are read."""
    gpus: tuple[str, ...] = ()
    """Indexes of this machine's GPUs to watch; all of them if none is given."""

    def run(self, home: Path, progress: Progress) -> Result:
        """Measure; raises an XinferError if no request to a server succeeds."""
        urls = values_of(self.servers.values(), "url")
        watched = {**cpu.cluster_processes(urls, home), **self.watched}
        try:
            return _run_in_loop(self.measure(watched, progress, _own_certificate(urls, home)))
        finally:
            progress.clear()

    async def measure(self, watched: Watched, progress: Progress, trusted: ssl.SSLContext | None = None) -> Result:
        """As ``run``, in the running loop and with these processes watched."""
        with Gpus.watched(self.gpus) as gpus:
            async with Sender.opened(self.plan.timeout_s, trusted) as sender:
                return await self._measure(sender, watched, progress, gpus)

    async def _measure(self, sender: Sender, watched: Watched, progress: Progress, gpus: Gpus) -> Result:
        targets = await self._targets(sender)
        engines = Engines(sender, self.engines)
        await engines.check()
        runner = Runner(self.plan, self.workload, targets, sender, engines, progress, watched, gpus)
        return Result(targets, await runner.run(), machine.facts(), self._arguments(watched))

    async def _targets(self, sender: Sender) -> dict[Side, Target]:
        """Each server with its model; B's is the one named as A's is, if it has it."""
        found: dict[Side, Target] = {}
        preferred = None
        for side, server in self.servers.items():
            model = self.models.get(side)
            if model is None:
                listed = await sender.models(server)
                model = choose(server.url, listed, _MODEL_OPTIONS[side], preferred)
            found[side] = Target(server, model)
            preferred = model
        return found

    def _arguments(self, watched: Watched) -> dict[str, Any]:
        return {
            **asdict(self.plan),
            **asdict(self.workload),
            "engines": list(self.engines),
            "gpus": list(self.gpus),
            "cpu": {name: list(pids) for name, pids in watched.items()},
        }


def _own_certificate(urls: Iterable[str], home: Path) -> ssl.SSLContext | None:
    """Trust in the certificate of this machine's own cluster, whatever names are in it; None for any other server."""
    record = ClusterRecord.load(home)
    if record is None or any(url != record.endpoint for url in urls) or not tls.pem_file(home).exists():
        return None
    return tls.own_context(home)


def _run_in_loop(work: Coroutine[Any, Any, T]) -> T:
    # Uvloop's loop if it is there, which costs the generator less.
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)
