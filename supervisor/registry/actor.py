"""The registry's shell: a detached Ray actor that performs what ``Models`` decides."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any

from supervisor.registry.deployer import Deployer
from supervisor.registry.models import Models
from supervisor.registry.store import Store
from xinfer.messages import ModelSpec, ModelState, ReplicaReport, RoutingTable
from xinfer.names import model_app
from xinfer.settings import EngineSettings, home

_log = logging.getLogger("xinfer.registry")
_LATE_PERIODS = 1.5  # health periods without a report after which a replica's engine is looked at
_SILENCE_PERIODS = 4  # health periods without a report after which a replica counts as lost


class Registry:
    """Knows every model. Desired state is on disk before anything is started; after a restart it takes up where it was."""

    def __init__(self, settings: EngineSettings) -> None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        self._settings = settings
        self._models = Models(version=time.time_ns())
        self._store = Store(home() / "registry.sqlite")
        self._deployer = Deployer(settings)
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        for spec in self._store.load():
            self._models.add(spec)
        self._keep(self._reconcile())
        self._keep(self._expire_silent())

    async def watch(self, version: int, timeout_s: float) -> RoutingTable:
        """The table as soon as it is newer than ``version``, at the latest after ``timeout_s`` seconds."""
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait_for(lambda: self._models.version != version)
        return self._models.table()

    async def launch(self, spec: ModelSpec) -> None:
        """Record ``spec`` and begin to bring it up. Raises ``Conflict`` or ``LaunchRefused``, and then nothing is left behind."""
        self._deployer.check_room(spec, self._models.gpus_wanted())
        self._models.add(spec)
        self._store.save(spec)
        _log.info("launch %s: %s on %g GPUs, %d replicas", spec.uid, spec.name, spec.gpus, spec.replicas)
        self._keep(self._bring_up(spec))
        await self._publish()

    async def terminate(self, uid: str) -> None:
        """Take a model down and forget it; returns when its replicas are gone. Doing it twice is fine."""
        if self._models.get(uid).state is not ModelState.TERMINATING:
            self._store.forget(uid)
            self._models.move(uid, ModelState.TERMINATING)
            await self._publish()
            try:
                await self._deployer.delete(uid)
            finally:
                self._models.remove(uid)
                await self._publish()
        await self._until_gone(uid)

    async def report(self, report: ReplicaReport) -> None:
        """A replica says how it is doing."""
        version = self._models.version
        for order in self._models.report(report):
            _log.warning("giving up on %s: %s", order.uid, order.reason)
            self._keep(self._give_up(self._models.get(order.uid).spec, order.reason))
        if self._models.version != version:
            _log.info("%s %s: %s %s", report.model_uid, report.replica, report.stage, report.info)
            await self._publish()

    async def suspect(self, uid: str, replica: str, address: str) -> None:
        """A supervisor could not reach a replica: unless it accepts a connection here, it is routed to no more."""
        if await _accepts(address):
            return
        _log.warning("%s %s is not reachable at %s", uid, replica, address)
        self._models.lost(uid, replica)
        await self._publish()

    async def _bring_up(self, spec: ModelSpec) -> None:
        self._models.move(spec.uid, ModelState.LAUNCHING)
        await self._publish()
        while self._is_up(spec):
            try:
                await self._deployer.deploy(spec)
                return
            except Exception as error:  # noqa: BLE001  # Serve raises plain RuntimeError, with a replica's traceback in it
                _log.error("launch of %s failed: %s", spec.uid, error)
            if self._is_up(spec) and not self._models.deserves_another_try(spec.uid):
                told = self._models.table().routes[spec.uid].reason
                await self._give_up(spec, told or "The engine could not be started; the log of the replica says why.")
                return
            if self._is_up(spec):
                await self._deployer.delete(spec.uid)

    async def _give_up(self, spec: ModelSpec, reason: str) -> None:
        """Clean up first, then say FAILED: whoever reads that may launch the UID again at once."""
        if not self._is_up(spec):
            return
        self._store.forget(spec.uid)
        try:
            await self._deployer.delete(spec.uid)
        finally:
            if self._is_up(spec):
                self._models.move(spec.uid, ModelState.FAILED, reason)
                await self._publish()

    def _is_up(self, spec: ModelSpec) -> bool:
        """Whether this very launch is still wanted: not terminated, given up or followed by another of its UID."""
        route = self._models.table().routes.get(spec.uid)
        return (
            route is not None and route.spec == spec and route.state not in (ModelState.TERMINATING, ModelState.FAILED)
        )

    async def _reconcile(self) -> None:
        """After a start: bring up what should run and does not, take down what runs and should not."""
        specs = [route.spec for route in self._models.table().routes.values()]
        running = await self._deployer.running()
        for spec in specs:
            if model_app(spec.uid) in running:
                self._models.move(spec.uid, ModelState.LAUNCHING)  # its replicas report with their next health check
            else:
                self._keep(self._bring_up(spec))
        wanted = {model_app(uid) for uid in self._models.table().routes}
        for name in running - wanted:
            if name.startswith(model_app("")):
                await self._deployer.delete(name.removeprefix(model_app("")))
        await self._publish()

    async def _expire_silent(self) -> None:
        while True:
            await asyncio.sleep(self._settings.health_period_s)
            period, now, version = self._settings.health_period_s, time.time(), self._models.version
            self._models.expire(now - _SILENCE_PERIODS * period)
            if self._models.version != version:
                await self._publish()
            for late in self._models.silent(now - _LATE_PERIODS * period):
                await self.suspect(late.model_uid, late.replica, str(late.address))

    async def _until_gone(self, uid: str) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: uid not in self._models.table().routes)

    async def _publish(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("a background task failed", exc_info=error)


async def _accepts(address: str) -> bool:
    host, _, port = address.removeprefix("http://").rpartition(":")
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
