"""All models and their replicas as a plain class: events go in, the next step comes out. No Ray, no clock, no disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from supervisor.registry.record import Departure, Record
from xinfer.errors import Conflict, ModelNotFound
from xinfer.messages import (
    SETTLED,
    AutoscalingConfig,
    ModelSpec,
    ModelState,
    ModelTable,
    ReplicaOrders,
    ReplicaReport,
    ReplicaStage,
)

_SETTLED_KEPT = 100
_GONE_KEPT = 1_000
_CANCELLED = "The launch was cancelled."
_NO_REASON = "The engine could not be started; the log of the replica says why."
_END_STAGES = {ModelState.FAILED: ReplicaStage.FAILED, ModelState.CANCELLED: ReplicaStage.CANCELLED}


@dataclass(frozen=True, slots=True)
class Deploy:
    """Have Serve make the model's application what ``spec`` says, and tell ``deploy_failed`` if it does not come up."""

    spec: ModelSpec


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the model's application, then call ``on_application_deleted``. With ``forget``, delete its row on disk first."""

    uid: str
    forget: bool


class Models:
    """Every model by UID, and what Serve has of each.

    Whatever has happened to a model, ``next_action`` compares what is wanted with what Serve has and says what to do next.
    Times are arguments, in Unix seconds. After ``failures_allowed`` engines failed in a row a model that was ready is given up.
    """

    def __init__(self, version: int, failures_allowed: int = 3) -> None:
        self._records: dict[str, Record] = {}
        # What Serve was last told; None for what has to go.
        self._applications: dict[str, ModelSpec | None] = {}
        # UIDs, oldest end first.
        self._settled: dict[str, None] = {}
        self._version = version
        # Models that were removed, with the version of the table without them; those before the first number are forgotten.
        self._gone: deque[tuple[int, str]] = deque()
        self._complete_since = version
        self._failures_allowed = failures_allowed

    @property
    def version(self) -> int:
        """Grows with every change that supervisors have to know."""
        return self._version

    def touch(self) -> None:
        """Something else that travels with the table has changed."""
        self._version += 1

    def table(self, since: int | None = None) -> ModelTable:
        """All models; for somebody who has the table of version ``since``, only what has changed after it, if that is known."""
        if since is None or not self._complete_since <= since <= self._version:
            return ModelTable(self._version, {uid: record.status() for uid, record in self._records.items()})
        changed = {uid: record.status() for uid, record in self._records.items() if record.version > since}
        gone = tuple(uid for version, uid in self._gone if version > since and uid not in self._records)
        return ModelTable(self._version, changed, since=since, gone=gone)

    def get(self, uid: str) -> Record:
        if uid not in self._records:
            raise ModelNotFound(f"There is no model {uid!r}. `xinfer list` shows what runs.", param="model")
        return self._records[uid]

    def live_reports(self, uid: str) -> list[ReplicaReport]:
        """The latest reports of a model's replicas; the table may have older ones, of the same stages."""
        record = self._records.get(uid)
        if record is None:
            return []
        return list(record.replicas.values())

    def addresses(self) -> set[str]:
        """The nodes that have replicas."""
        found: set[str] = set()
        for record in self._records.values():
            for report in record.replicas.values():
                found.update(report.nodes)
        return found

    # What people ask for.

    def add(self, spec: ModelSpec) -> None:
        """Record a launch; a UID whose launch failed or was cancelled is free, any other that exists is a ``Conflict``."""
        known = self._records.get(spec.uid)
        if known and known.state not in SETTLED:
            raise Conflict(
                f"The UID {spec.uid!r} is in use ({known.state.lower()}). "
                f"Choose another with --model-uid, or `xinfer terminate {spec.uid}` first.",
                param="model_uid",
            )
        self._settled.pop(spec.uid, None)
        record = self._records[spec.uid] = Record(spec)
        record.begin(ReplicaStage.PENDING, spec.created_at)
        self._changed(record)

    def terminate(self, uid: str) -> None:
        """Have the model taken down and forgotten."""
        record = self.get(uid)
        record.move(ModelState.TERMINATING, reason="")
        record.end = ModelState.TERMINATING
        self._settled.pop(uid, None)
        self._changed(record)

    def cancel(self, uid: str) -> None:
        """Have a launch that is under way taken down and kept as CANCELLED; one that is over or ends already stays as it is."""
        record = self.get(uid)
        if record.state in (ModelState.READY, ModelState.DRAINING, ModelState.SLEEPING):
            raise Conflict(f"The model {uid!r} is up; terminate it instead.")
        if record.end is None and record.state not in SETTLED:
            record.move(ModelState.TERMINATING, _CANCELLED)
            record.end = ModelState.CANCELLED
            self._changed(record)

    def scale(self, uid: str, replicas: int) -> None:
        """Have a model that is up get this many replicas; ``Conflict`` if it is not."""
        record = self.get(uid)
        if record.state is not ModelState.READY or record.end is not None:
            raise Conflict(f"The model {uid!r} is not up ({record.state.lower()}); only one that is can be scaled.")
        up = record.ready_replicas
        expected = replicas + (record.migrating is not None)
        record.fallback = up if expected > up else None
        record.spec = replace(record.spec, replicas=replicas + record.departing)
        record.reason = ""
        self._changed(record)

    def resize(self, uid: str, replicas: int, order: Sequence[str], at: float) -> None:
        """As ``scale``, but replicas that are up leave without breaking a stream, the first of ``order`` first.

        Replicas that were about to leave stay if more are wanted; those that are on their way up go before any other.
        """
        record = self.get(uid)
        if record.state is not ModelState.READY or record.end is not None:
            raise Conflict(f"The model {uid!r} is not up ({record.state.lower()}); only one that is can be scaled.")
        if replicas > record.desired:
            record.recall(replicas - record.desired)
            # Serve replaces what has left anyway.
            record.left -= min(record.left, replicas - record.desired)
        if replicas < record.desired and record.migrating is not None:
            # It goes first, and needs no other in its place.
            order = [record.migrating, *order]
            record.end_migration()
        up = record.ready_replicas
        fewer = record.desired - replicas
        # Serve stops first what is not up.
        coming = max(0, record.desired - up)
        gone_at_once = min(fewer, coming)
        if fewer <= 0 or gone_at_once == fewer:
            self.scale(uid, replicas)
            return

        if gone_at_once:
            self.scale(uid, replicas + fewer - gone_at_once)
        record.fallback = None
        record.reason = ""
        self._changed(record)
        targets = [target.replica for target in record.status().targets]
        known = [name for name in order if name in targets]
        unknown = [name for name in targets if name not in known]
        for name in [*known, *unknown][: fewer - gone_at_once]:
            record.leaving[name] = Departure(self._version, at)

    def configure(self, uid: str, autoscaling: AutoscalingConfig | None, idle_timeout_s: float | None) -> None:
        """Have the number of a model's replicas follow its load in another way; what runs is not touched.

        ``Conflict`` if it is being taken down, or its launch has failed.
        """
        record = self.get(uid)
        if record.state in SETTLED or record.end is not None:
            raise Conflict(f"The model {uid!r} is not there any more ({record.state.lower()}).")
        before = record.spec
        record.spec = replace(before, autoscaling=autoscaling, idle_timeout_s=idle_timeout_s)
        if self._applications.get(uid) == before:
            # Serve need not be told.
            self._applications[uid] = record.spec
        self._changed(record)

    def may_leave(self, uid: str, replica: str, *, at_once: bool) -> None:
        """Nobody sends this replica anything any more, or its time is over: it ends with its next report."""
        departure = self.get(uid).leaving[replica]
        departure.told = True
        departure.at_once = at_once

    def moved(self, uid: str, replica: str) -> int | None:
        """Serve ends this replica. Once others take its place, it gets nothing more and may finish what it has.

        Returns the version of the first table that says so; 0 as long as there are no others; None if it has nothing to wait for.
        """
        record = self._records.get(uid)
        if record is None or not record.is_wanted or replica not in record.replicas:
            return None
        if replica not in record.moved:
            if all(target.replica == replica for target in record.status().targets):
                # Serve ends at once what it does not know to be up yet, although the model may take requests already.
                return 0
            self._changed(record)
            record.moved[replica] = self._version
        return record.moved[replica]

    def migrate(self, uid: str, replica: str) -> None:
        """Have another replica come up, and this one leave as soon as it has; one at a time. The number that is wanted stays.

        If the other one does not come up, this one stays, and the model's reason says why.
        """
        record = self.get(uid)
        record.fallback = record.desired
        record.migrating = replica
        record.spec = replace(record.spec, replicas=record.spec.replicas + 1)
        record.reason = ""
        self._changed(record)

    def may_migrate(self, uid: str) -> tuple[ReplicaReport, ...]:
        """The replicas that may migrate now: none unless the model is up as a whole, and no replica is being added."""
        record = self._records.get(uid)
        if record is None or record.state is not ModelState.READY or record.end is not None:
            return ()
        if record.restored or record.fallback is not None or record.migrating is not None:
            return ()
        targets = record.status().targets
        return targets if len(targets) >= record.desired else ()

    def explain(self, uid: str, reason: str) -> None:
        """Have a model that is up show this reason, which says what it waits for."""
        record = self.get(uid)
        record.reason = reason
        self._changed(record)

    def forget_left(self, uid: str) -> None:
        """Serve has no replacement for what has left, which may wait for a place: it is told to have fewer all the same."""
        record = self.get(uid)
        record.spec = replace(record.spec, replicas=record.spec.replicas - record.left)
        record.left = 0
        self._changed(record)

    def orders(self, report: ReplicaReport) -> ReplicaOrders:
        """What this replica is to do, by what is known now."""
        record = self._records.get(report.model_uid)
        if record is None:
            return ReplicaOrders()
        departure = record.leaving.get(report.replica)
        return ReplicaOrders(
            start=report.replica not in record.parked,
            measure=record.spec.autoscaling is not None or bool(record.leaving),
            leave=departure is not None and departure.told,
            leave_at_once=departure is not None and departure.at_once,
        )

    # Sleep. A model drains first: nobody sends it requests, but everything is there. Then it sleeps, or is READY again.

    def restore(self, spec: ModelSpec) -> None:
        """Record a model that was up, or on its way, when the registry before this one ended."""
        self.add(spec)
        self._records[spec.uid].restored = True

    def end_restoration(self) -> None:
        """Whatever has not reported by now is gone."""
        for record in self._records.values():
            if record.restored:
                record.restored = False
                self._changed(record)

    def asleep(self, spec: ModelSpec) -> None:
        """Record a model that was asleep when the registry ended."""
        self.add(spec)
        self._records[spec.uid].history = [ModelState.SLEEPING]

    def drain(self, uid: str) -> None:
        """Announce that a READY model is about to sleep."""
        record = self.get(uid)
        record.move(ModelState.DRAINING, reason="")
        self._changed(record)

    def resume(self, uid: str, at: float) -> None:
        """A draining model is used after all."""
        record = self.get(uid)
        if record.state is ModelState.DRAINING:
            record.move(ModelState.READY, reason="")
            record.update_state(at)
            self._changed(record)

    def sleep(self, uid: str) -> None:
        """A draining model gives everything back."""
        record = self.get(uid)
        if record.state is ModelState.DRAINING:
            record.move(ModelState.SLEEPING)
            self._clear_away(record)

    def wake(self, uid: str, at: float, replicas: int | None = None) -> None:
        """Somebody needs the model: a draining one is READY at once, a sleeping one is launched. Twice is fine.

        ``replicas`` is how many a sleeping one gets, by default as many as it had.
        """
        record = self.get(uid)
        if record.state is ModelState.DRAINING:
            self.resume(uid, at)
        elif record.state is ModelState.SLEEPING and record.end is None:
            record.move(ModelState.LAUNCHING, reason="")
            record.waking = True
            if replicas is not None:
                record.spec = replace(record.spec, replicas=replicas)
            record.failures = record.deployments = 0
            record.times.clear()
            record.begin(ReplicaStage.PENDING, at)
            self._changed(record)

    # What replicas say, and what is found out about them.

    def report(self, report: ReplicaReport) -> None:
        """A replica says how it is doing. A replica that has ended is not believed when it says otherwise later."""
        record = self._records.get(report.model_uid)
        if record is None or record.state in SETTLED or report.replica in record.ended:
            return
        if record.is_parked(report):
            self._park(record, report.replica)
            return
        record.parked.discard(report.replica)
        if report.stage.is_final:
            record.replica_ended(report, self._failures_allowed)
            self._changed(record)
        elif record.is_wanted and record.on_report(report):
            self._changed(record)
        self._settle_migration(record, report.updated_at)

    def lost(self, uid: str, replica: str, at: float) -> None:
        """Nobody reaches this replica any more; a later report of its brings it back."""
        record = self._records.get(uid)
        if record and record.replicas.pop(replica, None):
            record.update_state(at)
            self._changed(record)
            self._settle_migration(record, at)

    def silent(self, oldest: float) -> list[ReplicaReport]:
        """Replicas that take requests but have not reported since ``oldest``."""
        silent: list[ReplicaReport] = []
        for record in self._records.values():
            ready = [report for report in record.replicas.values() if report.stage is ReplicaStage.READY]
            silent += [report for report in ready if report.updated_at < oldest]
        return silent

    def expire(self, oldest: float, at: float) -> None:
        """Drop the replicas that have been silent since ``oldest``; those on their way up may take their time."""
        for report in self.silent(oldest):
            self.lost(report.model_uid, report.replica, at)

    # What Serve has, and what it is to do.

    def found(self, uid: str, at: float, *, alive: bool) -> None:
        """After a restart: Serve has an application of this UID, ``alive`` unless it has failed or is being deleted."""
        record = self._records.get(uid)
        if record is None or not record.is_wanted or not alive:
            self._applications[uid] = None
            if record:
                record.restored = False
                self._changed(record)
            return
        # What runs is left alone. The number of replicas may have changed just before the registry ended, without Serve
        # having heard of it; telling it again changes nothing if it has.
        self._applications[uid] = record.spec
        if record.is_deployed_anew:
            self._applications[uid] = replace(record.spec, replicas=0)
        # Its replicas report with their next health check, or have done so already.
        if not record.waits_for_a_place:
            record.move(ModelState.LAUNCHING, reason="")
        record.update_state(at)
        self._changed(record)

    def next_action(self, uid: str, at: float) -> Deploy | Delete | None:
        """What has to be done next about ``uid``, if anything; a deployment counts as begun with this."""
        record = self._records.get(uid)
        exists = uid in self._applications
        if record and record.is_wanted and not (exists and self._applications[uid] is None):
            if self._applications.get(uid) != record.spec:
                return self._deploy(record, at)
            return None
        if exists or (record and record.end):
            return Delete(uid, forget=bool(record and record.end))
        return None

    def deploy_failed(self, spec: ModelSpec, at: float) -> None:
        """Serve has given up an application. It is tried anew if its engine was good once; news of an older one mean nothing.

        An engine may answer and die before Serve has seen it up: that is a death, not a start that cannot work. So it is with a
        model that another registry has launched, until its replicas are heard of.
        """
        record = self._records.get(spec.uid)
        if record is None or not record.is_wanted or self._applications.get(spec.uid) != spec:
            return
        if (record.was_ready or record.restored) and record.deployments < self._failures_allowed:
            self._clear_away(record)
            record.update_state(at)
        else:
            record.give_up(record.reason or _NO_REASON)
            self._changed(record)

    def on_application_deleted(self, uid: str, at: float) -> None:
        """Serve has nothing of this UID any more."""
        self._applications.pop(uid, None)
        record = self._records.get(uid)
        if record is None or record.end is None:
            return
        end = record.end
        record.end = None
        if end is ModelState.TERMINATING:
            self._forget(uid)
        else:
            self._settle_for_good(record, end, at)
            self._changed(record)

    def _park(self, record: Record, replica: str) -> None:
        """Serve has replaced one that has left. Told now to have one less, it stops the replacement, which is not up."""
        if replica in record.parked:
            return
        record.parked.add(replica)
        record.left -= 1
        record.spec = replace(record.spec, replicas=record.spec.replicas - 1)
        self._changed(record)

    def _settle_migration(self, record: Record, at: float) -> None:
        """The replica that migrates leaves if another one is up for it. If it has ended, the other one has its place."""
        replica = record.migrating
        if replica is None or not record.is_wanted:
            return
        if replica not in record.replicas:
            record.end_migration()
            self._changed(record)
        elif record.ready_replicas >= record.expected:
            record.migrating = None
            self._changed(record)
            record.leaving[replica] = Departure(self._version, at)

    def _changed(self, record: Record) -> None:
        self._version += 1
        record.version = self._version

    def _forget(self, uid: str) -> None:
        del self._records[uid]
        self._version += 1
        if len(self._gone) == _GONE_KEPT:
            self._complete_since, _ = self._gone.popleft()
        self._gone.append((self._version, uid))

    def _deploy(self, record: Record, at: float) -> Deploy:
        if record.spec.uid not in self._applications:
            record.deployments += 1
            record.drop_replicas()
        if record.state is not ModelState.READY and not record.waits_for_a_place:
            record.move(ModelState.LAUNCHING)
            record.begin(ReplicaStage.PLACING, at)
        self._applications[record.spec.uid] = record.spec
        self._changed(record)
        return Deploy(record.spec)

    def _clear_away(self, record: Record) -> None:
        """Whatever Serve has of it has to go, even if the model is wanted again before that has begun."""
        record.drop_replicas()
        self._applications[record.spec.uid] = None
        self._changed(record)

    def _settle_for_good(self, record: Record, end: ModelState, at: float) -> None:
        """FAILED or CANCELLED, and not before all is cleaned up: whoever reads that may launch the UID again at once."""
        record.move(end)
        record.last_ended = record.last_ended or next(iter(record.replicas.values()), None)
        record.replicas.clear()
        record.begin(_END_STAGES[end], at)
        self._settled[record.spec.uid] = None
        if len(self._settled) > _SETTLED_KEPT:
            oldest = next(iter(self._settled))
            del self._settled[oldest]
            self._forget(oldest)
