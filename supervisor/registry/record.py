"""One model in the registry: where it is in its life, what is known of its replicas, and which moves there are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from xinfer.messages import ModelSpec, ModelState, ModelStatus, ReplicaReport, ReplicaStage, StageTime

_MOVES = {
    ModelState.PENDING: {ModelState.LAUNCHING, ModelState.FAILED, ModelState.TERMINATING},
    ModelState.LAUNCHING: {ModelState.READY, ModelState.FAILED, ModelState.TERMINATING},
    ModelState.READY: {ModelState.LAUNCHING, ModelState.DRAINING, ModelState.FAILED, ModelState.TERMINATING},
    ModelState.DRAINING: {
        ModelState.SLEEPING,
        ModelState.READY,
        ModelState.LAUNCHING,
        ModelState.FAILED,
        ModelState.TERMINATING,
    },
    ModelState.SLEEPING: {ModelState.LAUNCHING, ModelState.FAILED, ModelState.TERMINATING},
    ModelState.FAILED: {ModelState.TERMINATING},
    ModelState.CANCELLED: {ModelState.TERMINATING},
    ModelState.TERMINATING: {ModelState.CANCELLED},
}
_HISTORY = 16


class InvalidTransition(Exception):
    """A model was moved to a state that its own does not lead to."""

    def __init__(self, uid: str, history: list[ModelState], target: ModelState) -> None:
        super().__init__(f"model {uid!r}: {' -> '.join(history)} does not lead to {target}")


@dataclass(slots=True)
class Departure:
    """A replica that leaves: it finishes what it has, and gets nothing more."""

    version: int
    """Of the first table that says so."""
    since: float
    told: bool = False
    """Whether it may end: no supervisor sends it anything any more, or its time is over."""
    at_once: bool = False
    """Whether it ends although its engine is busy."""


@dataclass(slots=True)
class Record:
    """One model and what has become of it."""

    spec: ModelSpec
    version: int = 0
    """Of the first table that has its last change."""
    history: list[ModelState] = field(default_factory=lambda: [ModelState.PENDING])
    """Its latest states, the present one last."""
    reason: str = ""
    replicas: dict[str, ReplicaReport] = field(default_factory=dict)
    times: list[StageTime] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    """Replicas that are gone; whatever they may still say."""
    last_ended: ReplicaReport | None = None
    end: ModelState | None = None
    """What becomes of it when its application is gone; TERMINATING stands for nothing at all, None for not ending."""
    failures: int = 0
    """Replicas that have failed in a row."""
    deployments: int = 0
    """Applications begun for it since a replica was ready."""
    was_ready: bool = False
    waking: bool = False
    restored: bool = False
    """Whether it comes from the file of a registry before this one, and not all of its replicas have reported since."""
    fallback: int | None = None
    """While it is scaled up: the replicas it had, to go back to."""
    leaving: dict[str, Departure] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    """Replicas that Serve ends, having started others for them, with the version of the first table that says so."""
    migrating: str | None = None
    """A replica that leaves as soon as another one has come up for it; Serve is told to have one more meanwhile."""
    left: int = 0
    """Replicas that have left, of those that Serve is told to have: it replaces each of them."""
    left_at: float = 0.0
    parked: set[str] = field(default_factory=set)
    """Those replacements. They start no engine, and are the first that Serve stops when it is told of fewer."""

    @property
    def state(self) -> ModelState:
        return self.history[-1]

    @property
    def is_wanted(self) -> bool:
        """Whether its application should be there."""
        is_up = self.state in (ModelState.PENDING, ModelState.LAUNCHING, ModelState.READY, ModelState.DRAINING)
        return self.end is None and is_up

    @property
    def waits_for_a_place(self) -> bool:
        """Whether it stays PENDING although Serve has it: until a node has room for its first replica."""
        return self.spec.wait_for_capacity and self.state is ModelState.PENDING

    @property
    def ready_replicas(self) -> int:
        return len(self.status().targets)

    @property
    def departing(self) -> int:
        return len(self.leaving) + self.left + (self.migrating is not None)

    @property
    def desired(self) -> int:
        """Replicas that are wanted, without those that leave."""
        return self.spec.replicas - self.departing

    @property
    def expected(self) -> int:
        """Replicas that are to be up: one more than wanted while one of them migrates."""
        return self.desired + (self.migrating is not None)

    @property
    def is_deployed_anew(self) -> bool:
        """Whether a new registry tells Serve the number of replicas again, which may have been about to change."""
        return self.spec.autoscaling is not None or self.spec.workers > 1

    @property
    def durable_spec(self) -> ModelSpec:
        """What is kept on disk. A new registry does not know which replicas were to leave."""
        if self.is_deployed_anew:
            return replace(self.spec, replicas=self.desired)
        return self.spec

    @property
    def with_logs(self) -> list[ReplicaReport]:
        """Those that live, and the last one that has failed; if none lives, the last one that ended, however it did."""
        live = list(self.replicas.values())
        ended = self.last_ended
        if ended and (not live or ended.stage is ReplicaStage.FAILED):
            return [*live, ended]
        return live

    def move(self, target: ModelState, reason: str | None = None) -> None:
        """Go to ``target``; staying where it is is always legal. The reason stays unless another one is given."""
        if reason is not None:
            self.reason = reason
        if target is self.state:
            return
        if target not in _MOVES[self.state]:
            raise InvalidTransition(self.spec.uid, self.history, target)
        self.history.append(target)
        del self.history[:-_HISTORY]
        self.waking = self.waking and target is ModelState.LAUNCHING

    def update_state(self, at: float) -> None:
        """READY while some replica takes requests, LAUNCHING while none does; ``at`` is when that became known."""
        if self.state not in (ModelState.LAUNCHING, ModelState.READY):
            return
        if not self.ready_replicas:
            self.recall(len(self.leaving))
        if not self.ready_replicas:
            self.move(ModelState.LAUNCHING)
            return
        if self.state is ModelState.LAUNCHING:
            self.reason = ""
        self.move(ModelState.READY)
        self.was_ready = True
        if self.ready_replicas >= self.expected:
            self.restored = False
            self.fallback = None
            self.begin(ReplicaStage.READY, self._all_ready_at(at))

    def on_report(self, report: ReplicaReport) -> bool:
        """A replica that lives says how it is doing; whether that is news for supervisors."""
        known = self.replicas.get(report.replica)
        self.replicas[report.replica] = report
        if report.stage is ReplicaStage.READY:
            self.failures = self.deployments = 0
            if known is None or known.stage is not ReplicaStage.READY:
                self.reason = ""
        if known is not None and _visible(known) == _visible(report):
            return False
        if self.waits_for_a_place:
            self.move(ModelState.LAUNCHING)
            self.begin(ReplicaStage.PLACING, report.times[0].began_at if report.times else report.updated_at)
        self.update_state(report.updated_at)
        return True

    def replica_ended(self, report: ReplicaReport, failures_allowed: int) -> None:
        """A replica is gone. So many may fail in a row once the model was ready, and none before.

        A model that another registry has launched may have been ready: one of its replicas may fail before the others are heard.
        """
        known = self.replicas.pop(report.replica, None)
        self.ended.add(report.replica)
        self.last_ended = report
        self.moved.pop(report.replica, None)
        if self.leaving.pop(report.replica, None):
            self.left += 1
            self.left_at = report.updated_at
            self.update_state(report.updated_at)
            return
        if report.stage is ReplicaStage.FAILED and self.is_wanted:
            self.failures += 1
            self.reason = report.info
            was_up = known is not None and known.stage is ReplicaStage.READY
            if self.fallback is not None and not was_up:
                self._scale_back(self.fallback)
            elif self.failures >= (failures_allowed if self.was_ready or self.restored else 1):
                self.give_up(report.info)
        self.update_state(report.updated_at)

    def give_up(self, reason: str) -> None:
        """It has to be taken down and becomes FAILED then."""
        self.reason = reason
        self.end = ModelState.FAILED

    def begin(self, stage: ReplicaStage, at: float) -> None:
        """Note when the launch as a whole came to ``stage``; only the first time counts."""
        if all(time.stage is not stage for time in self.times):
            self.times.append(StageTime(stage, at))

    def recall(self, count: int) -> int:
        """Have so many replicas stay that were to leave, as far as they may not have ended; returns how many do."""
        stay = [name for name, departure in self.leaving.items() if not departure.told][:count]
        for name in stay:
            del self.leaving[name]
        return len(stay)

    def is_parked(self, report: ReplicaReport) -> bool:
        """Whether this replica, which has just come, only stands for one that has left, and is to wait for its end."""
        if report.stage is not ReplicaStage.PLACING or report.replica in self.replicas:
            return False
        if not self.left and report.replica not in self.parked:
            return False
        others = [name for name in self.replicas if name not in self.leaving]
        return len(others) >= self.expected

    def end_migration(self) -> None:
        """Have no other replica come up for the one that migrates, which stays or is gone."""
        if self.migrating is None:
            return
        self.migrating = None
        self.fallback = None
        self.spec = replace(self.spec, replicas=self.spec.replicas - 1)

    def drop_replicas(self) -> None:
        """Believe none of those there are any more, and want none in the place of those that were to leave."""
        self.spec = replace(self.spec, replicas=self.desired)
        self.restored = False
        self.ended.update(self.replicas)
        self.replicas.clear()
        self.leaving.clear()
        self.moved.clear()
        self.migrating = None
        self.parked.clear()
        self.left = 0

    def status(self) -> ModelStatus:
        """What the supervisors get to see."""
        replicas = tuple(self.replicas.values())
        times = tuple(self.times)
        return ModelStatus(
            spec=self.spec,
            state=self.state,
            reason=self.reason,
            replicas=replicas,
            times=times,
            waking=self.waking,
            ended=self.last_ended,
            restored=self.restored,
            scaling=self.fallback is not None or self.departing > 0,
            leaving=(*self.leaving, *self.moved),
            departing=self.departing,
        )

    def _scale_back(self, replicas: int) -> None:
        count = "1 replica" if replicas == 1 else f"{replicas} replicas"
        self.reason = f"It stays at {count}, since another one did not come up: {self.reason}"
        self.migrating = None
        self.spec = replace(self.spec, replicas=replicas + self.departing)
        self.fallback = None

    def _all_ready_at(self, heard_at: float) -> float:
        """When the last one became ready by its own account, which after a restart of the registry is older than the news."""
        ready_at: list[float] = []
        for replica in self.replicas.values():
            ready_at += [time.began_at for time in replica.times if time.stage is ReplicaStage.READY]
        return max(ready_at, default=heard_at)


def _visible(report: ReplicaReport) -> tuple[object, ...]:
    # Without info and download: a download reports five times a second, and each change sends the whole table.
    times = [time.stage for time in report.times]
    followers = [(follower.node, follower.stage, follower.pid) for follower in report.followers]
    return (report.stage, report.address, report.pid, report.context_length, times, followers)
