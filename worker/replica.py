"""The worker: one Serve replica, with the GPUs Ray gave it and one engine."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

import ray
from ray import serve

from worker.command import engine_env
from worker.compile_ahead import CompileAhead
from worker.download import Source, fetch, needs_download
from worker.engine import Engine, EngineStuck, ServerEngine
from worker.engine_kind import kind_of
from worker.gang.engine import GangEngine
from worker.gang.gang import Gang
from worker.gang.seat import seat_env
from worker.memory.check import check_memory
from worker.memory.reservations import Ledger
from worker.reporter import Reporter
from worker.serve_ports import keep_ports_closed
from worker.spare_process import prestart_next
from xinfer.errors import XinferError
from xinfer.logs import attach_to_serve
from xinfer.messages import ModelSpec, ReplicaOrders, ReplicaReport, ReplicaStage
from xinfer.settings import EngineSettings, home
from xinfer.traces import PARENT, LaunchContext, traces_target

_log = logging.getLogger("xinfer.worker")
_LOAD_PERIOD_S = 1.0
_WANTED_PERIOD_S = 0.2
_FOLLOWERS_PERIOD_S = 0.5
MakeEngine = Callable[[ModelSpec, EngineSettings, str, Path], Engine]


def make_engine(spec: ModelSpec, settings: EngineSettings, host: str, log: Path) -> Engine:
    """The engine that ``spec`` asks for, not yet started."""
    kind = kind_of(spec)
    if spec.workers == 1:
        return ServerEngine(spec, settings, host, log, kind.argv, engine_env, kind.start)
    gang = Gang(spec, settings, host, log)
    argv = partial(kind.argv, seat=gang.seat(0))
    return GangEngine(ServerEngine(spec, settings, host, log, argv, partial(_env_of_leader, host), kind.start), gang)


def _env_of_leader(host: str, spec: ModelSpec, settings: EngineSettings) -> dict[str, str]:
    return {**seat_env(host), **engine_env(spec, settings)}


class EngineReplica:
    """Starts its engine, is ready when the engine has answered, ends when the engine does.

    Requests do not pass through here: supervisors talk to the engine's own server. Ray carries
    life cycle and health only.
    """

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, spec: ModelSpec, settings: EngineSettings, make: MakeEngine = make_engine
    ) -> None:
        self._spec = spec
        self._settings = settings
        attach_to_serve()
        keep_ports_closed()
        context = serve.get_replica_context()
        replica = context.replica_id.unique_id
        self.log = home() / "logs" / "engines" / f"{spec.uid}-{replica}.log"
        if traces_target():
            # The engine inherits it, and its own spans of its start are inside this replica's.
            os.environ[PARENT] = LaunchContext(spec.uid, spec.created_at).traceparent(replica)
        host = ray.util.get_node_ip_address()
        self._engine = make(spec, settings, host, self.log)
        compile_log = home() / "logs" / "compilation" / self.log.name
        self._compilation = CompileAhead(spec, settings, lambda compiled: make(compiled, settings, host, compile_log))
        gpus = tuple(str(gpu) for gpu in ray.get_runtime_context().get_accelerator_ids().get("GPU", ()))
        now = time.time()
        first = ReplicaReport(
            spec.uid,
            replica,
            ReplicaStage.PLACING,
            host,
            gpu_ids=gpus,
            log=str(self.log),
            created_at=now,
            updated_at=now,
        )
        self._reporter = Reporter(first)
        self._ledger = Ledger(home() / "run" / "memory.json")
        self._watch: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        await self._bring_up()

    async def check_health(self) -> None:
        """Serve calls this every few seconds; raising three times in a row has the replica replaced."""
        try:
            await self._engine.check()
        except EngineStuck as stuck:
            # There is nothing to wait for. The engine ends with this process.
            await self._reporter.report(ReplicaStage.FAILED, info=str(stuck))
            os._exit(1)
        await self._report()

    async def _bring_up(self) -> None:
        try:
            await self._until_wanted()
            await self._prepare()
            await self._start()
        except Exception as error:
            if isinstance(error, XinferError):
                reason = error.message
            else:
                reason = f"{type(error).__name__}: {error}"
            await self._engine.stop()
            await self._reporter.report(ReplicaStage.FAILED, info=reason)
            raise
        else:
            self._watch = asyncio.create_task(self._end_with_engine())
            self._following = asyncio.create_task(self._follow_orders())
            self._compilation.start()
        finally:
            # An engine that is up has what was reserved for it.
            await asyncio.to_thread(self._ledger.release, self._reporter.latest.replica)
            await prestart_next()

    async def _reserve_memory(self) -> None:
        latest = self._reporter.latest
        check = functools.partial(check_memory, ledger=self._ledger, owner=latest.replica)
        await asyncio.to_thread(check, self._spec, self._settings, latest.gpu_ids)

    async def _until_wanted(self) -> None:
        """Serve replaces a replica that has left; such a one waits here, without an engine, until Serve stops it."""
        orders = await self._reporter.report()
        while not orders.start:
            await asyncio.sleep(_WANTED_PERIOD_S)
            orders = await self._reporter.report()

    async def _follow_orders(self) -> None:
        """While the registry wants to know, tell it how busy the engine is; leave when it says so."""
        while True:
            await asyncio.sleep(_LOAD_PERIOD_S)
            orders = self._reporter.orders
            if not orders.measure and not orders.leave:
                continue
            load = await self._engine.load()
            if load is not None:
                orders = await self._reporter.report_load(load)
            is_idle = load is not None and not load.running and not load.waiting
            if orders.leave and (is_idle or orders.leave_at_once):
                await self._leave()

    async def _leave(self) -> None:
        """End for good. Serve replaces this replica before it hears that there are to be fewer (``_until_wanted``)."""
        _log.info("leaving")
        if self._watch:
            self._watch.cancel()
        await self._compilation.stop()
        await self._engine.stop()
        await self._reporter.report(ReplicaStage.STOPPED)
        os._exit(0)

    async def _finish(self) -> None:
        """Let requests end that are under way, if Serve has started another replica for this one: its node is drained."""
        deadline = time.monotonic() + self._settings.finish_timeout_s
        while time.monotonic() < deadline:
            orders = await self._reporter.report_end()
            if orders.leave_at_once:
                return
            if orders.leave:
                load = await self._engine.load()
                if load is None or not (load.running or load.waiting):
                    return
            await asyncio.sleep(_WANTED_PERIOD_S)

    async def _prepare(self) -> None:
        """Files and memory, on all nodes of the replica at once."""
        telling = asyncio.create_task(self._tell_of_followers())
        steps = [asyncio.create_task(self._engine.prepare()), asyncio.create_task(self._prepare_here())]
        try:
            await asyncio.gather(*steps)
        finally:
            for task in (*steps, telling):
                task.cancel()
            # A download ends its process first.
            await asyncio.gather(*steps, telling, return_exceptions=True)

    async def _prepare_here(self) -> None:
        await self._download()
        await self._reserve_memory()

    async def _tell_of_followers(self) -> None:
        """Report how the workers on other nodes are doing, while nothing else is reported."""
        while self._spec.workers > 1:
            await asyncio.sleep(_FOLLOWERS_PERIOD_S)
            followers = self._engine.followers
            if followers == self._reporter.latest.followers:
                continue
            downloading = any(follower.stage is ReplicaStage.DOWNLOADING for follower in followers)
            await self._report(ReplicaStage.DOWNLOADING if downloading else None)

    async def _report(self, stage: ReplicaStage | None = None, **facts: object) -> ReplicaOrders:
        return await self._reporter.report(stage, followers=self._engine.followers, **facts)

    async def _download(self) -> None:
        """A hub model's files come first, so that the launch shows how far they are."""
        source = Source.of(self._spec)
        env = engine_env(self._spec, self._settings)
        if not await asyncio.to_thread(needs_download, source, env):
            return
        async with aclosing(fetch(source, env, self.log)) as states:
            async for state in states:
                await self._report(ReplicaStage.DOWNLOADING, download=state)

    async def _start(self) -> None:
        async for stage in self._engine.start():
            ready = stage is ReplicaStage.READY
            if ready:
                facts = {"address": self._engine.address, "context_length": self._engine.context_length}
            else:
                facts = {}
            await self._report(stage, pid=self._engine.pid, **facts)

    async def _end_with_engine(self) -> None:
        """An engine that is gone takes its replica along, so that Serve makes a new one at once."""
        reason = await self._engine.wait()
        await self._reporter.report(ReplicaStage.FAILED, info=reason)
        os._exit(1)

    async def __del__(self) -> None:
        """Serve calls this when the replica is to go: the engine goes first."""
        if self._following:
            self._following.cancel()
        await self._finish()
        if self._watch:
            self._watch.cancel()
        await self._compilation.stop()
        await self._engine.stop()
        await self._reporter.report(ReplicaStage.STOPPED)
