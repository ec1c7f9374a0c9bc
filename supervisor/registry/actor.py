"""The registry's shell: a detached Ray actor that performs what ``Models`` decides."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from supervisor.background import Background
from supervisor.nodes.join import Installed, installed
from supervisor.registry.autoscaling.prewarmer import Prewarmer
from supervisor.registry.autoscaling.scaler import Host, Scaler
from supervisor.registry.cluster_drain import ClusterDrain
from supervisor.registry.cluster_metrics import ClusterMetrics
from supervisor.registry.events import Events
from supervisor.registry.families import Families
from supervisor.registry.gang_migration import GangMigration
from supervisor.registry.idleness import Drain, Idleness, Resume, Sleep
from supervisor.registry.model_lives import ModelLives
from supervisor.registry.models import Models
from supervisor.registry.node_agents import NodeAgents, NodeReports, prestart_workers
from supervisor.registry.reconciler import Deployments, Reconciler, Surroundings
from supervisor.registry.store import Store
from supervisor.registry.supervisor_loads import SupervisorLoads
from supervisor.registry.table_readers import TableReaders
from xinfer.errors import Conflict, LaunchRefused, cluster_stopping
from xinfer.messages import (
    AutoscalingConfig,
    ClusterLoad,
    EngineLoad,
    Event,
    ModelLife,
    ModelMetrics,
    ModelSpec,
    ModelState,
    ModelTable,
    NodeReport,
    Registration,
    ReplicaOrders,
    ReplicaReport,
    ScalingStatus,
    SupervisorLoad,
    Usage,
)
from xinfer.reachable import accepts_connections
from xinfer.settings import EngineSettings

if TYPE_CHECKING:
    from supervisor.registry.launch_traces import LaunchTraces

_log = logging.getLogger("xinfer.registry")
# Health periods without a report after which a replica's engine is looked at.
_LATE_PERIODS = 1.5
# Health periods without a report after which a replica counts as lost.
_SILENCE_PERIODS = 4
_IDLE_PERIOD_S = 1.0
# For a sleep that was asked for: a supervisor reports at least every five seconds, and then once more.
_SLEEP_S = 20.0
# For supervisors to end what is left when the time of a drain is over.
_LAST_WORDS_S = 3.0


class Registry:
    """Knows every model. Desired state is on disk before anything starts; after a restart the registry goes on from there.

    ``restarted`` is true if Ray has started the actor anew within the life of its cluster. ``agents`` are started on every node.
    ``traces`` makes what sends the spans of launches, given the models that there are at the start.
    ``now`` gives Unix time in seconds.
    """

    def __init__(
        self,
        settings: EngineSettings,
        deployer: Deployments,
        store: Store,
        *,
        restarted: bool = False,
        agents: NodeAgents | None = None,
        traces: Callable[[ModelTable], LaunchTraces] | None = None,
        prewarmer: Prewarmer | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._deployer = deployer
        self._store = store
        self._now = now
        self._models = Models(version=time.time_ns())
        self._idleness = Idleness(time.monotonic())
        self._published = asyncio.Condition()
        self._readers = TableReaders()
        self._background = Background()
        self._reconciler = Reconciler(
            self._models, store, deployer, Surroundings(self._background, self._publish, self._now)
        )
        for kept in self._store.load():
            if kept.asleep:
                self._models.asleep(kept.spec)
            else:
                self._models.restore(kept.spec)
        self._families = Families(self._store.load_families(persistent_only=not restarted))
        self._families_version = self._models.version
        self._events = Events(self._models.table(), self._now())
        self._lives = ModelLives(self._models.table())
        self._traces = traces(self._models.table()) if traces else None
        self._totals = ClusterMetrics()
        self._drain = ClusterDrain()
        host = Host(self._check_room, self.wake, self._reconciler.on_change, lambda: self._is_stopping, self._now)
        self._scaler = Scaler(self._models, self._store, self._events, host)
        self._gang_migration = GangMigration(self._models, deployer, self._events, host)
        self._supervisor_loads = SupervisorLoads()

        self._background.spawn(self._reconciler.take_over())
        self._background.spawn(self._expire_silent())
        self._background.spawn(self._watch_idle())
        self._background.spawn(self._scaler.follow_load())
        self._background.spawn(self._gang_migration.follow_drains())
        self._node_reports = NodeReports()
        if agents:
            self._background.spawn(agents.tend(restarted=restarted, in_use=self._models.addresses))
        if prewarmer:
            self._background.spawn(prewarmer.run(self._models, self._events, self._now))

    async def stop(self) -> None:
        """Cancel everything that goes on in the background. The actor itself never stops; tests do."""
        await self._background.stop()

    async def watch(
        self,
        version: int,
        timeout_s: float,
        supervisor: str = "",
        usages: Mapping[str, Usage] | None = None,
        families_version: int = 0,
    ) -> ModelTable:
        """The table as soon as it is newer than ``version``, at the latest after ``timeout_s`` seconds.

        A ``supervisor`` says with it that it acts on the table of ``version``, and how it uses the models.
        """
        if supervisor:
            await self._readers.hear(supervisor, version)
            self._idleness.hear(supervisor, version, usages or {}, time.monotonic())
            self._drain.hear(supervisor, time.monotonic())
            self._scaler.hear(supervisor)
            if usages:
                await self._check_idle()
        async with self._published:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._published.wait_for(lambda: self._models.version != version)
        # All families together may have 4 MiB: they travel only when the supervisor has not got them.
        families = None
        if families_version != self._families_version:
            families = self._families.texts
        return replace(
            self._models.table(since=version),
            families=families,
            families_version=self._families_version,
            stops_at=self._drain.stops_at,
        )

    async def reach_all(self, version: int) -> None:
        """Return when every supervisor acts on the table of ``version`` or a later one, after a second at the latest."""
        await self._readers.reach_all(version)

    async def node_reports(self) -> dict[str, NodeReport]:
        """The latest report of every node, by Ray's node ID."""
        return self._node_reports.latest(self._now())

    async def report_node(self, report: NodeReport) -> None:
        """The agent of a node says what the node has."""
        self._node_reports.take(replace(report, measured_at=self._now()))

    async def installed(self) -> Installed:
        """What is installed on the head, and what time it is there."""
        return installed()

    async def drain_cluster(self, timeout_s: float) -> bool:
        """Have the supervisors take no more requests; returns when none has any under way, True, or after the timeout."""
        _log.info("draining the cluster for at most %g s", timeout_s)
        self._drain.begin(self._now() + timeout_s)
        self._models.touch()
        await self._publish()
        async with self._published:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s + _LAST_WORDS_S):
                    await self._published.wait_for(lambda: self._drain.is_over(time.monotonic()))
                    return True
        return False

    async def drained(self, supervisor: str) -> None:
        """A supervisor has nothing under way any more."""
        self._drain.drained(supervisor)
        await self._publish()

    def _check_room(self, spec: ModelSpec) -> None:
        """``LaunchRefused`` if the nodes that ``spec`` may run on have no room for it beside all models."""
        self._deployer.check_room(spec, self._models.table().models.values())

    @property
    def _is_stopping(self) -> bool:
        return self._drain.stops_at is not None

    def _refuse_if_stopping(self) -> None:
        if self._is_stopping:
            raise cluster_stopping()

    async def launch(self, spec: ModelSpec) -> None:
        """Record ``spec`` and begin to bring it up. Raises ``Conflict`` or ``LaunchRefused``, and then nothing is left behind."""
        self._refuse_if_stopping()
        self._check_room(spec)
        models = self._models.table().models.values()
        reports = self._node_reports.latest(self._now())
        spec = replace(spec, node_groups=self._deployer.choose_nodes(spec, models, reports))
        self._models.add(spec)
        self._store.save(spec)
        _log.info("launch %s: %s on %g GPUs, %d replicas", spec.uid, spec.name, spec.gpus_per_replica, spec.replicas)
        await self._reconciler.on_change(spec.uid)

    async def register(self, registration: Registration) -> int:
        """Take a family into the catalog; returns the version of the first table that has it. Raises ``FamilyRefused``."""
        self._families.add(registration)
        self._store.save_family(registration)
        _log.info("register %s", registration.name)
        return await self._publish_families()

    async def unregister(self, name: str) -> int:
        """Take a registered family out of it, the same way; models of it that run go on. Raises ``NotFound``."""
        self._store.forget_family(self._families.remove(name).name)
        _log.info("unregister %s", name)
        return await self._publish_families()

    async def scale(self, uid: str, replicas: int) -> None:
        """Have a model that is up get this many replicas; those that run go on. Raises ``Conflict`` or ``LaunchRefused``.

        If the additional ones do not come up, the model goes back to the replicas it has, and its route's reason says why.
        """
        self._refuse_if_stopping()
        counted = self._totals.sums(time.monotonic()).get(uid, ModelMetrics()).replicas
        in_flight = {replica: load.in_flight for replica, load in counted.items()}
        await self._scaler.by_hand(uid, replicas, in_flight)

    async def autoscale(self, uid: str, autoscaling: AutoscalingConfig | None, idle_timeout_s: float | None) -> None:
        """Have the number of a model's replicas follow its load in this way, or stay as it is. Raises ``ModelNotFound``."""
        self._refuse_if_stopping()
        await self._scaler.configure(uid, autoscaling, idle_timeout_s)

    async def scaling(self, uid: str) -> ScalingStatus:
        """How a model is scaled, and the last decisions. Raises ``ModelNotFound``."""
        return self._scaler.status(uid)

    async def sleep(self, uid: str) -> bool:
        """Have a model that is up sleep until a request needs it; False if it is in use. ``Conflict`` if it is not up."""
        record = self._models.get(uid)
        if record.state not in (ModelState.READY, ModelState.DRAINING, ModelState.SLEEPING):
            raise Conflict(f"The model {uid!r} is not up ({record.state.lower()}); only one that is can sleep.")

        def sleeps() -> bool:
            return record.state is ModelState.SLEEPING

        if sleeps():
            return True
        self._idleness.ask(uid, time.monotonic())
        await self._check_idle()
        async with self._published:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SLEEP_S):
                    await self._published.wait_for(sleeps)
        return sleeps()

    async def wake(self, uid: str) -> str:
        """Have a sleeping model come up; empty, or the sentence that says why it stays asleep. Doing it twice is fine."""
        record = self._models.get(uid)
        self._idleness.withdraw(uid)
        if record.state not in (ModelState.DRAINING, ModelState.SLEEPING):
            return ""
        # A draining model has its GPUs still.
        if record.state is ModelState.SLEEPING:
            try:
                replicas = self._scaler.replicas_to_wake(record.spec)
                self._check_room(replace(record.spec, replicas=replicas))
            except LaunchRefused as refusal:
                return refusal.message
        _log.info("wake %s", uid)
        self._models.wake(uid, self._now(), self._scaler.replicas_to_wake(record.spec))
        await self._reconciler.on_change(uid)
        return ""

    async def cancel(self, uid: str) -> None:
        """Give up a launch that is under way; returns when its replicas are gone. ``Conflict`` if it is up. Twice is fine."""
        self._models.cancel(uid)
        await self._until_ended(uid)

    async def terminate(self, uid: str) -> None:
        """Take a model down and forget it; returns when its replicas are gone. Doing it twice is fine."""
        self._models.terminate(uid)
        await self._until_ended(uid)

    async def report(self, report: ReplicaReport) -> ReplicaOrders:
        """A replica says how it is doing, and gets to know what it is to do."""
        version = self._models.version
        self._models.report(report)
        if self._models.version != version:
            _log.info("%s %s: %s %s", report.model_uid, report.replica, report.stage, report.info)
            await self._reconciler.on_change(report.model_uid)
        return self._models.orders(report)

    async def end_replica(self, report: ReplicaReport) -> ReplicaOrders:
        """A replica says that Serve ends it, and gets to know whether it is to finish its requests before."""
        before = self._models.version
        version = self._models.moved(report.model_uid, report.replica)
        if self._models.version != before:
            await self._publish()
        if version is None:
            return ReplicaOrders(leave_at_once=True)
        if version == 0:
            return ReplicaOrders()
        return ReplicaOrders(leave=self._scaler.nobody_uses(report.model_uid, report.replica, version))

    async def report_engine_load(self, report: ReplicaReport, load: EngineLoad) -> ReplicaOrders:
        """A replica says how busy its engine is."""
        self._scaler.on_engine(report.model_uid, report.replica, load)
        return self._models.orders(report)

    async def report_load(self, supervisor: str, version: int, loads: Mapping[str, SupervisorLoad]) -> None:
        """A supervisor acts on the table of ``version``, and says what it has to do for models that are scaled."""
        self._scaler.on_supervisor(supervisor, version, loads)

    async def exchange_loads(
        self, supervisor: str, in_flight: Mapping[str, int], moved: Sequence[tuple[int, str]]
    ) -> ClusterLoad:
        """A supervisor has so much in flight at each replica, and is told what all have."""
        return self._supervisor_loads.exchange(supervisor, in_flight, moved, time.monotonic())

    async def progress(self, uid: str) -> list[ReplicaReport]:
        """The latest reports of a model's replicas, downloads included; none if the model is unknown."""
        return self._models.live_reports(uid)

    async def prestart_workers(self, node_id: str) -> None:
        """Have a node prestart processes for its next replicas."""
        await prestart_workers(node_id)

    async def logs(self, uid: str) -> list[ReplicaReport]:
        """The replicas whose engines' logs tell how the model is doing, or how its launch ended."""
        return self._models.get(uid).with_logs

    async def events(self, uid: str) -> list[Event]:
        """What has happened to this model lately, also to one that is gone since; none if nothing is known of it."""
        return self._events.of(uid)

    async def exchange_metrics(self, supervisor: str, tallies: Mapping[str, ModelMetrics]) -> dict[str, ModelMetrics]:
        """A supervisor says what it has counted and gets the sums over all supervisors."""
        self._totals.on_report(supervisor, tallies, time.monotonic())
        return self._totals.sums(time.monotonic())

    async def model_lives(self) -> dict[str, ModelLife]:
        """What has happened to the models there are since this registry started, in numbers, by UID."""
        return self._lives.all

    async def suspect(self, uid: str, replica: str, address: str) -> None:
        """A supervisor could not reach a replica: unless it accepts a connection here, it is routed to no more."""
        if await accepts_connections(address):
            return
        _log.warning("%s %s is not reachable at %s", uid, replica, address)
        self._models.lost(uid, replica, self._now())
        await self._publish()

    async def _until_ended(self, uid: str) -> None:
        record = self._models.get(uid)
        await self._reconciler.on_change(uid)
        async with self._published:
            await self._published.wait_for(lambda: record.end is None)

    async def _watch_idle(self) -> None:
        while True:
            await asyncio.sleep(_IDLE_PERIOD_S)
            await self._check_idle()
            if self._drain.forget_if_not_stopped(self._now()):
                self._models.touch()
                await self._publish()

    async def _check_idle(self) -> None:
        awake = self._scaler.kept_awake()
        for verdict in self._idleness.decide(self._models.table(), time.monotonic(), awake):
            _log.info("%s %s", type(verdict).__name__.lower(), verdict.uid)
            match verdict:
                case Drain(uid):
                    self._models.drain(uid)
                    self._idleness.announced(uid, self._models.version, time.monotonic())
                case Resume(uid):
                    self._models.resume(uid, self._now())
                case Sleep(uid):
                    self._store.save(self._models.get(uid).durable_spec, asleep=True)
                    self._models.sleep(uid)
            await self._reconciler.on_change(verdict.uid)

    async def _expire_silent(self) -> None:
        period = self._settings.health_period_s
        restored_until = self._now() + _SILENCE_PERIODS * period
        while True:
            await asyncio.sleep(period)
            now = self._now()
            version = self._models.version
            self._models.expire(now - _SILENCE_PERIODS * period, now)
            if now > restored_until:
                self._models.end_restoration()
            if self._models.version != version:
                await self._publish()
            for late in self._models.silent(now - _LATE_PERIODS * period):
                await self.suspect(late.model_uid, late.replica, str(late.address))

    async def _publish_families(self) -> int:
        self._models.touch()
        version = self._models.version
        self._families_version = version
        await self._publish()
        return version

    async def _publish(self) -> None:
        changes = self._models.table(since=self._events.version)
        self._events.observe(changes, self._now())
        self._lives.observe(changes)
        if self._traces:
            self._traces.observe(changes)
        async with self._published:
            self._published.notify_all()
