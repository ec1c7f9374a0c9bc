"""The worker: one Serve replica, with the GPUs Ray gave it and one engine."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import psutil
import ray
from ray import serve

from worker.command import engine_argv, engine_env
from worker.download import Source, fetch, needs_download
from worker.engine import Engine, EngineStuck, ServerEngine
from worker.engine_start import start_forked
from worker.memory.check import check_memory
from worker.reporter import Reporter
from xinfer.cluster import prestart
from xinfer.errors import XinferError
from xinfer.logs import attach_to_serve
from xinfer.messages import ModelSpec, ReplicaReport, ReplicaStage
from xinfer.names import NAMESPACE, REGISTRY
from xinfer.settings import EngineSettings, home

_log = logging.getLogger("xinfer.worker")
_LOAD_PERIOD_S = 1.0
_WANTED_PERIOD_S = 0.2
MakeEngine = Callable[[ModelSpec, EngineSettings, str, Path], Engine]


def make_engine(spec: ModelSpec, settings: EngineSettings, host: str, log: Path) -> Engine:
    """The engine that ``spec`` asks for, not yet started."""
    if spec.engine == "fake":
        return ServerEngine(spec, settings, host, log, fake_argv, engine_env)
    return ServerEngine(spec, settings, host, log, engine_argv, engine_env, start_forked)


def fake_argv(spec: ModelSpec, _settings: EngineSettings, host: str, port: int) -> list[str]:
    """The command of the fake engine; ``spec.engine_args`` are the fields of its ``Behaviour``."""
    behaviour = json.dumps(spec.engine_args)
    context_length = str(spec.context_length or 4096)
    command = [sys.executable, "-m", "worker.fake.server"]
    return [*command, host, str(port), spec.uid, context_length, behaviour]


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
        context = serve.get_replica_context()
        replica = context.replica_id.unique_id
        self.log = home() / "logs" / "engines" / f"{spec.uid}-{replica}.log"
        host = ray.util.get_node_ip_address()
        self._engine = make(spec, settings, host, self.log)
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
        await self._reporter.report()

    async def _bring_up(self) -> None:
        try:
            await self._until_wanted()
            await self._download()
            await asyncio.to_thread(check_memory, self._spec, self._settings, self._reporter.latest.gpu_ids)
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
        finally:
            await self._prestart_next()

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

    async def _prestart_next(self) -> None:
        """Have a Ray process prestarted for the next replica: this one has taken the idle one."""
        wanted = prestart.wanted()
        if not wanted or await asyncio.to_thread(has_idle_worker):
            return

        node_id = ray.get_runtime_context().get_node_id()
        try:
            registry = ray.get_actor(REGISTRY, namespace=NAMESPACE)
            await registry.prestart_worker.remote(node_id)
        except (ValueError, ray.exceptions.RayError) as error:
            # The next replica waits about a second longer; no reason to fail this one.
            _log.warning("no Ray process was prestarted: %s", type(error).__name__)

    async def _download(self) -> None:
        """A hub model's files come first, so that the launch shows how far they are."""
        source = Source.of(self._spec)
        env = engine_env(self._spec, self._settings)
        if not await asyncio.to_thread(needs_download, source, env):
            return
        async with aclosing(fetch(source, env, self.log)) as states:
            async for state in states:
                await self._reporter.report(ReplicaStage.DOWNLOADING, download=state)

    async def _start(self) -> None:
        async for stage in self._engine.start():
            ready = stage is ReplicaStage.READY
            if ready:
                facts = {"address": self._engine.address, "context_length": self._engine.context_length}
            else:
                facts = {}
            await self._reporter.report(stage, pid=self._engine.pid, **facts)

    async def _end_with_engine(self) -> None:
        """An engine that is gone takes its replica along, so that Serve makes a new one at once."""
        await self._engine.wait()
        await self._reporter.report(ReplicaStage.FAILED, info="the engine's process ended")
        os._exit(1)

    async def __del__(self) -> None:
        """Serve calls this when the replica is to go: the engine goes first."""
        if self._following:
            self._following.cancel()
        await self._finish()
        if self._watch:
            self._watch.cancel()
        await self._engine.stop()
        await self._reporter.report(ReplicaStage.STOPPED)


def has_idle_worker() -> bool:
    """True if this node's raylet has an idle process; to be called in a process of Ray's."""
    raylet = psutil.Process(os.getppid())
    others = [process for process in raylet.children() if process.pid != os.getpid()]
    return any(map(_is_idle, others))


def _is_idle(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    # A Ray process shows the first name once it is up, and the second one before.
    return any(word.strip().endswith(("ray::IDLE", "default_worker.py")) for word in words)
