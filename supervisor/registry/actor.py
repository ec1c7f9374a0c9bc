"""The registry's shell: a detached Ray actor that performs what ``Models`` decides."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import ray
from ray.serve.exceptions import RayServeException

from supervisor.nodes.join import Installed, installed
from supervisor.registry.autoscaling.scaling import Scaling
from supervisor.registry.autoscaling.signals import Signals
from supervisor.registry.cluster_drain import ClusterDrain
from supervisor.registry.cluster_metrics import ClusterMetrics
from supervisor.registry.events import Events
from supervisor.registry.families import Families
from supervisor.registry.idleness import Drain, Idleness, Resume, Sleep
from supervisor.registry.model_lives import ModelLives
from supervisor.registry.models import Delete, Deploy, Models
from supervisor.registry.node_agents import NodeAgents, NodeReports
from supervisor.registry.prestarted_workers import prestart_worker_on
from supervisor.registry.store import Store
from xinfer.errors import Conflict, LaunchRefused, cluster_stopping
from xinfer.messages import (
    AutoscalingConfig,
    EngineLoad,
    Event,
    ModelLife,
    ModelMetrics,
    ModelSpec,
    ModelState,
    ModelStatus,
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

_log = logging.getLogger("xinfer.registry")
# Health periods without a report after which a replica's engine is looked at.
_LATE_PERIODS = 1.5
# Health periods without a report after which a replica counts as lost.
_SILENCE_PERIODS = 4
_IDLE_PERIOD_S = 1.0
_SCALING_PERIOD_S = 0.5
_RETRY_S = 1.0
_SERVE_PERIOD_S = 0.2
# For a sleep that was asked for: a supervisor reports at least every five seconds, and then once more.
_SLEEP_S = 20.0
# For supervisors to end what is left when the time of a drain is over.
_LAST_WORDS_S = 3.0


class Deployments(Protocol):
    """What the registry has done on Ray Serve; ``Deployer`` does it, tests have a double."""

    def check_room(self, spec: ModelSpec, models: Iterable[ModelStatus]) -> None: ...

    async def deploy(self, spec: ModelSpec) -> None: ...

    async def comes_up(self, uid: str) -> bool: ...

    async def delete(self, uid: str) -> None: ...

    async def found(self) -> dict[str, bool]: ...


class Registry:
    """Knows every model. Desired state is on disk before anything starts; after a restart the registry goes on from there.

    ``restarted`` is true if Ray has started the actor anew within the life of its cluster. ``agents`` are started on every node.
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
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._deployer = deployer
        self._store = store
        self._now = now
        self._models = Models(version=time.time_ns())
        self._idleness = Idleness(time.monotonic())
        self._signals = Signals()
        self._scaling = Scaling(
            self._models,
            self._signals,
            self._check_room,
        )
        self._published = asyncio.Condition()
        self._knows_serve = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reconciling: set[str] = set()
        self._starts: dict[str, asyncio.Task[None]] = {}
        for kept in self._store.load():
            if kept.asleep:
                self._models.asleep(kept.spec)
            else:
                self._models.restore(kept.spec)
        self._families = Families(self._store.load_families(persistent_only=not restarted))
        self._families_version = self._models.version
        self._events = Events(self._models.table(), self._now())
        self._lives = ModelLives(self._models.table())
        self._totals = ClusterMetrics()
        self._drain = ClusterDrain()

        self._spawn(self._reconcile())
        self._spawn(self._expire_silent())
        self._spawn(self._watch_idle())
        self._spawn(self._follow_load())
        self._node_reports = NodeReports()
        if agents:
            self._spawn(agents.tend(restarted=restarted))

    async def stop(self) -> None:
        """Cancel everything that goes on in the background. The actor itself never stops; tests do."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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
            self._idleness.hear(supervisor, version, usages or {}, time.monotonic())
            self._drain.hear(supervisor, time.monotonic())
            self._signals.hear(supervisor, time.monotonic())
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

    def _refuse_if_stopping(self) -> None:
        if self._drain.stops_at is not None:
            raise cluster_stopping()

    async def launch(self, spec: ModelSpec) -> None:
        """Record ``spec`` and begin to bring it up. Raises ``Conflict`` or ``LaunchRefused``, and then nothing is left behind."""
        self._refuse_if_stopping()
        self._check_room(spec)
        self._models.add(spec)
        self._store.save(spec)
        _log.info("launch %s: %s on %g GPUs, %d replicas", spec.uid, spec.name, spec.gpus, spec.replicas)
        await self._on_change(spec.uid)

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
        before = self._models.get(uid).desired
        if replicas < 1:
            raise LaunchRefused("A model has at least one replica; terminate it to have none.", param="replica")
        counted = self._totals.sums(time.monotonic()).get(uid, ModelMetrics()).replicas
        in_flight = {replica: load.in_flight for replica, load in counted.items()}
        self._scaling.by_hand(uid, replicas, self._now(), in_flight)
        _log.info("scale %s from %d to %d replicas", uid, before, replicas)
        await self._on_change(uid)

    async def autoscale(self, uid: str, autoscaling: AutoscalingConfig | None, idle_timeout_s: float | None) -> None:
        """Have the number of a model's replicas follow its load in this way, or stay as it is. Raises ``ModelNotFound``."""
        self._refuse_if_stopping()
        record = self._models.get(uid)
        spec = self._models.configure(uid, autoscaling, idle_timeout_s)
        self._store.save(spec, asleep=record.state is ModelState.SLEEPING)
        _log.info("autoscaling of %s: %s", uid, autoscaling)
        await self._on_change(uid)

    async def scaling(self, uid: str) -> ScalingStatus:
        """How a model is scaled, and the last decisions. Raises ``ModelNotFound``."""
        return self._scaling.status(uid, self._now())

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
                replicas = self._scaling.replicas_to_wake(record.spec, self._now())
                self._check_room(replace(record.spec, replicas=replicas))
            except LaunchRefused as refusal:
                return refusal.message
        _log.info("wake %s", uid)
        self._models.wake(uid, self._now(), self._scaling.replicas_to_wake(record.spec, self._now()))
        await self._on_change(uid)
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
            await self._on_change(report.model_uid)
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
        return ReplicaOrders(leave=self._signals.nobody_uses(report.model_uid, report.replica, version))

    async def report_engine_load(self, report: ReplicaReport, load: EngineLoad) -> ReplicaOrders:
        """A replica says how busy its engine is."""
        self._signals.on_engine(report.model_uid, report.replica, load, time.monotonic())
        return self._models.orders(report)

    async def report_load(self, supervisor: str, version: int, loads: Mapping[str, SupervisorLoad]) -> None:
        """A supervisor acts on the table of ``version``, and says what it has to do for models that are scaled."""
        self._signals.on_supervisor(supervisor, version, loads, time.monotonic())

    async def progress(self, uid: str) -> list[ReplicaReport]:
        """The latest reports of a model's replicas, downloads included; none if the model is unknown."""
        return self._models.live_reports(uid)

    async def prestart_worker(self, node_id: str) -> None:
        """Have Ray start a process on this node for its next replica. ``OSError`` if that fails."""
        await prestart_worker_on(node_id)

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

    async def _on_change(self, uid: str) -> None:
        """Something has happened to this model: tell everybody, and have done what is to be done about it."""
        if uid not in self._reconciling:
            self._reconciling.add(uid)
            self._spawn(self._reconcile_model(uid))
        await self._publish()

    async def _reconcile_model(self, uid: str) -> None:
        """Do one thing after the other about this model until there is nothing more to do; the only one to do so."""
        try:
            await self._knows_serve.wait()
            while step := self._models.next_action(uid, self._now()):
                start = self._starts.pop(uid, None)
                if start:
                    start.cancel()
                await self._publish()
                match step:
                    case Deploy(spec):
                        await self._deploy(spec)
                    case Delete():
                        await self._delete(step)
                await self._publish()
        finally:
            self._reconciling.discard(uid)

    async def _deploy(self, spec: ModelSpec) -> None:
        self._store.save(spec)
        try:
            await self._deployer.deploy(spec)
        except Exception:  # noqa: BLE001  # whatever Serve or Ray raises, the launch has failed
            _log.exception("Serve did not take %s", spec.uid)
            self._models.deploy_failed(spec, self._now())
        else:
            self._starts[spec.uid] = self._spawn(self._follow_start(spec))

    async def _follow_start(self, spec: ModelSpec) -> None:
        """Replicas report their own failures; this is for those that could not."""
        while True:
            try:
                is_up = await self._deployer.comes_up(spec.uid)
                break
            except ray.exceptions.RayError as error:
                _log.warning("Serve's controller was not reached: %s", type(error).__name__)
                await asyncio.sleep(_RETRY_S)
        if not is_up:
            _log.error("Serve has given up on %s", spec.uid)
            self._models.deploy_failed(spec, self._now())
            await self._on_change(spec.uid)

    async def _delete(self, step: Delete) -> None:
        if step.forget:
            self._store.forget(step.uid)
        try:
            await self._deployer.delete(step.uid)
        except Exception:  # noqa: BLE001  # it cannot be waited for any longer
            _log.exception("Serve did not delete %s", step.uid)
        finally:
            self._models.on_application_deleted(step.uid, self._now())

    async def _until_ended(self, uid: str) -> None:
        record = self._models.get(uid)
        await self._on_change(uid)
        async with self._published:
            await self._published.wait_for(lambda: record.end is None)

    async def _reconcile(self) -> None:
        """After a start: bring up what should run and does not, take down what runs and should not."""
        found: dict[str, bool] | None = None
        while found is None:
            try:
                found = await self._deployer.found()
            except RayServeException:
                # The registry starts beside Serve.
                await asyncio.sleep(_SERVE_PERIOD_S)
            except ray.exceptions.RayError as error:
                _log.warning("Serve's controller was not reached: %s", type(error).__name__)
                await asyncio.sleep(_RETRY_S)
        for uid, alive in found.items():
            self._models.found(uid, self._now(), alive=alive)
        self._knows_serve.set()
        for uid in {*found, *self._models.table().models}:
            await self._on_change(uid)

    async def _watch_idle(self) -> None:
        while True:
            await asyncio.sleep(_IDLE_PERIOD_S)
            await self._check_idle()
            if self._drain.forget_if_not_stopped(self._now()):
                self._models.touch()
                await self._publish()

    async def _follow_load(self) -> None:
        while True:
            await asyncio.sleep(_SCALING_PERIOD_S)
            if self._drain.stops_at is not None:
                continue
            try:
                await self._scale_all()
            except Exception:  # noqa: BLE001  # whatever Ray raises of its nodes: the next step may go well
                _log.exception("a step of autoscaling failed")

    async def _scale_all(self) -> None:
        for change in self._scaling.step(time.monotonic(), self._now()):
            if change.wakes:
                refusal = await self.wake(change.uid)
                if refusal:
                    _log.warning("%s cannot wake: %s", change.uid, refusal)
                    continue
            if change.note:
                _log.info("%s: %s", change.uid, change.note)
                self._events.note(change.uid, change.note, self._now(), is_warning=change.is_warning)
            await self._on_change(change.uid)

    async def _check_idle(self) -> None:
        awake = self._scaling.kept_awake(self._now())
        for verdict in self._idleness.decide(self._models.table(), time.monotonic(), awake):
            _log.info("%s %s", type(verdict).__name__.lower(), verdict.uid)
            match verdict:
                case Drain(uid):
                    self._models.drain(uid)
                    self._idleness.announced(uid, self._models.version, time.monotonic())
                case Resume(uid):
                    self._models.resume(uid, self._now())
                case Sleep(uid):
                    self._store.save(self._models.get(uid).spec, asleep=True)
                    self._models.sleep(uid)
            await self._on_change(verdict.uid)

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
        async with self._published:
            self._published.notify_all()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("a background task failed", exc_info=error)
