"""All models and their replicas as a plain class: events go in, instructions come out. No Ray, no clock, no disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from xinfer.errors import Conflict, ModelNotFound
from xinfer.messages import ModelSpec, ModelState, ReplicaReport, ReplicaStage, Route, RoutingTable

_MOVES = {
    ModelState.PENDING: {ModelState.LAUNCHING, ModelState.FAILED, ModelState.TERMINATING},
    ModelState.LAUNCHING: {ModelState.READY, ModelState.FAILED, ModelState.TERMINATING},
    ModelState.READY: {ModelState.LAUNCHING, ModelState.FAILED, ModelState.TERMINATING},
    ModelState.FAILED: {ModelState.TERMINATING},
    ModelState.TERMINATING: set(),
}


class InvalidTransition(Exception):
    """A model was moved to a state that its own does not lead to."""

    def __init__(self, uid: str, history: list[ModelState], target: ModelState) -> None:
        super().__init__(f"model {uid!r}: {' -> '.join(history)} does not lead to {target}")


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Take the model down: its engine fails again and again."""

    uid: str
    reason: str


@dataclass(slots=True)
class Record:
    """One model and what has become of it."""

    spec: ModelSpec
    history: list[ModelState] = field(default_factory=lambda: [ModelState.PENDING])
    reason: str = ""
    replicas: dict[str, ReplicaReport] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    failures: int = 0
    given_up: bool = False

    @property
    def state(self) -> ModelState:
        """Where it is now."""
        return self.history[-1]

    def move(self, target: ModelState, reason: str = "") -> None:
        """Go to ``target``; staying where it is is always legal."""
        self.reason = reason
        if target is self.state:
            return
        if target not in _MOVES[self.state]:
            raise InvalidTransition(self.spec.uid, self.history, target)
        self.history.append(target)

    def route(self) -> Route:
        """What the supervisors get to see."""
        return Route(self.spec, self.state, self.reason, tuple(self.replicas.values()))


class Models:
    """Every model by UID. ``failures_allowed`` engines in a row may fail before a model that was ready is given up."""

    def __init__(self, version: int, failures_allowed: int = 3) -> None:
        self._records: dict[str, Record] = {}
        self._version = version
        self._failures_allowed = failures_allowed

    @property
    def version(self) -> int:
        """Grows with every change that supervisors have to know."""
        return self._version

    def table(self) -> RoutingTable:
        """All models at this moment."""
        return RoutingTable(self._version, {uid: record.route() for uid, record in self._records.items()})

    def get(self, uid: str) -> Record:
        """The record, or ``ModelNotFound``."""
        if uid not in self._records:
            raise ModelNotFound(f"There is no model {uid!r}. `xinfer list` shows what runs.", param="model")
        return self._records[uid]

    def gpus_wanted(self) -> float:
        """GPUs that the models asked for take together."""
        live = (r.spec for r in self._records.values() if r.state is not ModelState.FAILED)
        return sum(spec.gpus * spec.replicas for spec in live)

    def add(self, spec: ModelSpec) -> None:
        """Record a launch; a UID that failed before is free again, any other that exists is a ``Conflict``."""
        known = self._records.get(spec.uid)
        if known and known.state is not ModelState.FAILED:
            state = known.state.lower()
            raise Conflict(
                f"The UID {spec.uid!r} is in use ({state}). "
                f"Choose another with --model-uid, or `xinfer terminate {spec.uid}` first.",
                param="model_uid",
            )
        self._records[spec.uid] = Record(spec)
        self._version += 1

    def move(self, uid: str, target: ModelState, reason: str = "") -> None:
        """Move one model on; ``InvalidTransition`` if its state does not lead there."""
        record = self.get(uid)
        record.move(target, reason)
        if target is ModelState.FAILED:
            record.replicas.clear()
        self._settle(record)  # after a restart of the registry a replica may have reported before this move
        self._version += 1

    def remove(self, uid: str) -> None:
        """Forget a model; unknown is fine."""
        if self._records.pop(uid, None):
            self._version += 1

    def report(self, report: ReplicaReport) -> list[GiveUp]:
        """A replica says how it is doing. A replica that has ended is not believed when it says otherwise later."""
        record = self._records.get(report.model_uid)
        if record is None or record.state is ModelState.FAILED or report.replica in record.ended:
            return []
        known = record.replicas.get(report.replica)
        if report.stage.is_final:
            return self._ended(record, report)
        record.replicas[report.replica] = report
        if report.stage is ReplicaStage.READY:
            record.failures = 0
        if known is None or _visible(known) != _visible(report):
            self._settle(record)
            self._version += 1
        return []

    def deserves_another_try(self, uid: str) -> bool:
        """Whether a launch that Serve has given up was good once: its engine answered and died before Serve saw it."""
        record = self.get(uid)
        return ModelState.READY in record.history and not record.given_up

    def lost(self, uid: str, replica: str) -> None:
        """Nobody reaches this replica any more; a later report of its brings it back."""
        record = self._records.get(uid)
        if record and record.replicas.pop(replica, None):
            self._settle(record)
            self._version += 1

    def silent(self, oldest: float) -> list[ReplicaReport]:
        """Replicas that take requests but have not reported since ``oldest`` (Unix time)."""
        every = [report for record in self._records.values() for report in record.replicas.values()]
        return [report for report in every if report.stage is ReplicaStage.READY and report.updated_at < oldest]

    def expire(self, oldest: float) -> None:
        """Drop the replicas that have been silent since ``oldest``; those on their way up may take their time."""
        for report in self.silent(oldest):
            self.lost(report.model_uid, report.replica)

    def _ended(self, record: Record, report: ReplicaReport) -> list[GiveUp]:
        record.ended.add(report.replica)
        record.replicas.pop(report.replica, None)
        self._version += 1
        if report.stage is ReplicaStage.STOPPED or record.state is ModelState.TERMINATING:
            return []
        record.failures += 1
        record.reason = report.info
        ever_ready = ModelState.READY in record.history
        self._settle(record)
        if record.given_up or record.failures < (self._failures_allowed if ever_ready else 1):
            return []
        record.given_up = True  # said once: a second order could hit the next launch of the same UID
        return [GiveUp(record.spec.uid, report.info)]

    def _settle(self, record: Record) -> None:
        """READY while some replica takes requests, LAUNCHING while none does."""
        if record.state not in (ModelState.LAUNCHING, ModelState.READY):
            return
        ready = any(r.stage is ReplicaStage.READY for r in record.replicas.values())
        record.move(ModelState.READY if ready else ModelState.LAUNCHING, "" if ready else record.reason)


def _visible(report: ReplicaReport) -> tuple[object, ...]:
    return (report.stage, report.address, report.info, report.pid, report.context_length)
