"""One ``xinfer bench``, from what was asked for to what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xinfer.bench import cluster, machine
from xinfer.bench.cpu import Watched
from xinfer.bench.engines import Engines
from xinfer.bench.gpus import Gpus
from xinfer.bench.paired import Side
from xinfer.bench.plan import Plan, Workload
from xinfer.bench.progress import Progress
from xinfer.bench.result import Result
from xinfer.bench.runner import Runner, run_in_loop
from xinfer.bench.sender import Sender
from xinfer.bench.target import Server, Target, choose

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
        """Measure; raises an error of the tree if a server gives no answer at all."""
        urls = [server.url for server in self.servers.values()]
        watched = {**cluster.on_the_way(urls, home), **self.watched}
        try:
            return run_in_loop(self.measure(watched, progress))
        finally:
            progress.clear()

    async def measure(self, watched: Watched, progress: Progress) -> Result:
        """The same in a loop that runs, and with these processes watched."""
        with Gpus.watched(self.gpus) as gpus:
            async with Sender.opened(self.plan.timeout_s) as sender:
                return await self._measured(sender, watched, progress, gpus)

    async def _measured(self, sender: Sender, watched: Watched, progress: Progress, gpus: Gpus) -> Result:
        targets = await self._targets(sender)
        engines = Engines(sender, self.engines)
        await engines.check()
        runner = Runner(self.plan, self.workload, targets, sender, engines, progress, watched, gpus)
        return Result(targets, await runner.run(), machine.facts(), self._arguments(watched))

    async def _targets(self, sender: Sender) -> dict[Side, Target]:
        """Each server with its model; B's is called as A's is, if it has one of that name."""
        found: dict[Side, Target] = {}
        for side, server in self.servers.items():
            model = self.models.get(side)
            other = found.get("a")
            if model is None:
                listed = await sender.models(server)
                model = choose(server.url, listed, _MODEL_OPTIONS[side], preferred=other.model if other else None)
            found[side] = Target(server, model)
        return found

    def _arguments(self, watched: Watched) -> dict[str, Any]:
        return {
            **asdict(self.plan),
            **asdict(self.workload),
            "engines": list(self.engines),
            "gpus": list(self.gpus),
            "cpu": {name: list(pids) for name, pids in watched.items()},
        }
