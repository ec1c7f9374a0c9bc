"""What has happened to models, in numbers, as a plain class: tables go in one after the other, differences are counted."""

from __future__ import annotations

from itertools import pairwise

from supervisor.registry.replica_times import stages_of
from xinfer.messages import (
    STAGE_BOUNDS_S,
    Histogram,
    LaunchOutcome,
    ModelLife,
    ModelState,
    ModelStatus,
    ModelTable,
    ReplicaEnd,
    ReplicaReport,
    ReplicaStage,
    StageTime,
)

_LAUNCH_ENDS = {
    ModelState.READY: LaunchOutcome.READY,
    ModelState.FAILED: LaunchOutcome.FAILED,
    ModelState.CANCELLED: LaunchOutcome.CANCELLED,
}
_GOES_ON = (ModelState.PENDING, ModelState.LAUNCHING, ModelState.READY)


class ModelLives:
    """Counts since its start, by model UID. A model that is gone is forgotten."""

    def __init__(self, table: ModelTable) -> None:
        """``table`` is what a registry that has just started knows; none of that is counted."""
        self._seen = table
        self._lives = {uid: ModelLife() for uid in table.models}
        self._in_launch = set[str]()

    @property
    def all(self) -> dict[str, ModelLife]:
        return self._lives

    def observe(self, table: ModelTable) -> None:
        """``table`` is how things are now, or what has changed."""
        if table.version == self._seen.version:
            return
        before = self._seen.models
        self._seen = table.applied_to(self._seen)
        for uid in before.keys() - self._seen.models.keys():
            del self._lives[uid]
            self._in_launch.discard(uid)
        for uid, model in table.models.items():
            self._observe_model(uid, before.get(uid), model)

    def _observe_model(self, uid: str, old: ModelStatus | None, new: ModelStatus) -> None:
        life = self._lives.setdefault(uid, ModelLife())
        if old is None or old.spec.created_at != new.spec.created_at:
            old = None
            self._in_launch.add(uid)
        if uid in self._in_launch and new.state in _LAUNCH_ENDS:
            self._in_launch.discard(uid)
            life.launches[_LAUNCH_ENDS[new.state]] += 1
        if old is not None:
            life.sleeps += new.state is ModelState.SLEEPING and old.state is not ModelState.SLEEPING
            life.wakes += new.waking and not old.waking
            life.scaled_up += new.desired > old.desired
            life.scaled_down += new.desired < old.desired
        _observe_replicas(life, old, new)


def _observe_replicas(life: ModelLife, old: ModelStatus | None, new: ModelStatus) -> None:
    before: dict[str, ReplicaReport] = {}
    if old is not None:
        before = {report.replica: report for report in old.replicas}
    now = {report.replica: report for report in new.replicas}
    for replica, report in now.items():
        known = before.get(replica)
        if report.stage is ReplicaStage.READY and (known is None or known.stage is not ReplicaStage.READY):
            _observe_stages(life, stages_of(new, report))

    gone = set(before.keys() - now.keys())
    if new.ended and (old is None or new.ended != old.ended):
        gone.add(new.ended.replica)
    for replica in gone:
        life.replica_ends[_how_it_ended(replica, new)] += 1


def _observe_stages(life: ModelLife, times: tuple[StageTime, ...]) -> None:
    """How long each stage of a replica that has come up has taken."""
    for time, following in pairwise(times):
        spread = life.stages.setdefault(time.stage, Histogram(STAGE_BOUNDS_S))
        spread.observe(max(0.0, following.began_at - time.began_at))


def _how_it_ended(replica: str, model: ModelStatus) -> ReplicaEnd:
    last = model.ended
    if last and last.replica == replica and last.stage is ReplicaStage.FAILED:
        return ReplicaEnd.FAILED
    if (last and last.replica == replica) or model.state not in _GOES_ON:
        return ReplicaEnd.STOPPED
    return ReplicaEnd.LOST
