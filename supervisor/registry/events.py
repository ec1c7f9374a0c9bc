"""What has happened to each model, as a plain class: tables go in one after the other, their differences are the events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from xinfer.messages import Event, EventType, ModelState, ModelStatus, ModelTable, ReplicaReport, ReplicaStage

KEPT_PER_MODEL = 100
_MODELS_KEPT = 200
_STATES = {
    ModelState.READY: (EventType.INFO, "Ready: it answers."),
    ModelState.SLEEPING: (EventType.INFO, "Asleep: it was idle for its idle timeout; the next request wakes it."),
    ModelState.FAILED: (EventType.ERROR, "Failed."),
    ModelState.CANCELLED: (EventType.WARNING, "The launch was cancelled."),
    ModelState.TERMINATING: (EventType.INFO, "Being taken down."),
}


class Events:
    """The last hundred of each model; those of models that are gone stay until 200 others have come."""

    def __init__(self, table: ModelTable, at: float) -> None:
        """``table`` is what a registry that has just started knows; ``at`` is Unix time in seconds."""
        self._seen = table
        self._events: dict[str, deque[Event]] = {}
        for uid in table.models:
            self._note(uid, Event(EventType.WARNING, at, "The registry was started again."))

    @property
    def version(self) -> int:
        """Of the table that was seen last."""
        return self._seen.version

    def of(self, uid: str) -> list[Event]:
        """Those of one model, oldest first; none if nothing is known of it."""
        return list(self._events.get(uid, ()))

    def note(self, uid: str, content: str, at: float, *, is_warning: bool = False) -> None:
        """Something that the table does not show."""
        kind = EventType.WARNING if is_warning else EventType.INFO
        self._note(uid, Event(kind, at, content))

    def observe(self, table: ModelTable, at: float) -> None:
        """``table`` is how things are since ``at``, or what has changed."""
        if table.version == self._seen.version:
            return
        before = self._seen.models
        self._seen = table.applied_to(self._seen)
        changed = table.models.keys() | set(table.gone)
        if table.since is None:
            changed |= before.keys()
        for uid in changed:
            for kind, content in _differences(before.get(uid), table.models.get(uid)):
                self._note(uid, Event(kind, at, content))

    def _note(self, uid: str, event: Event) -> None:
        kept = self._events.pop(uid, None) or deque(maxlen=KEPT_PER_MODEL)
        kept.append(event)
        # The one that changed last comes last.
        self._events[uid] = kept
        if len(self._events) > _MODELS_KEPT:
            gone = next((name for name in self._events if name not in self._seen.models), None)
            self._events.pop(gone or next(iter(self._events)))


_Change = tuple[EventType, str]


def _differences(old: ModelStatus | None, new: ModelStatus | None) -> Iterator[_Change]:
    if new is None:
        yield EventType.INFO, "Terminated."
        return
    if old is None or old.spec.created_at != new.spec.created_at:
        yield EventType.INFO, f"Launch of {new.spec.name} asked for: {_size(new)}."
        old = None
    else:
        yield from _rescaled(old, new)
    yield from _replica_changes(old, new)
    was_degraded = old is not None and old.is_degraded
    if new.is_degraded and not was_degraded:
        yield EventType.WARNING, f"Degraded: {len(new.targets)} of {_size(new)} take requests."
    elif was_degraded and new.is_complete:
        yield EventType.INFO, f"All of {_size(new)} take requests again."
    if new.waking and not (old and old.waking):
        yield EventType.INFO, "Woken by a request."
    elif (old is None or old.state is not new.state) and new.state in _STATES:
        kind, content = _STATES[new.state]
        yield kind, new.reason if new.state is ModelState.FAILED and new.reason else content
    elif old and old.state is ModelState.READY and new.state is ModelState.LAUNCHING:
        yield EventType.WARNING, "No replica answers; another one is on its way."


def _rescaled(old: ModelStatus, new: ModelStatus) -> Iterator[_Change]:
    if old.desired != new.desired:
        kind = EventType.WARNING if new.reason else EventType.INFO
        yield kind, " ".join(filter(None, [f"Scaled from {old.desired} to {_size(new)}.", new.reason]))


def _replica_changes(old: ModelStatus | None, new: ModelStatus) -> Iterator[_Change]:
    if old:
        before = {report.replica: report for report in old.replicas}
    else:
        before = {}
    now = {report.replica: report for report in new.replicas}
    for replica, report in now.items():
        if replica not in before or before[replica].stage is not report.stage:
            yield EventType.INFO, f"Replica {replica}: {_stage(report)}."
    for replica in before.keys() - now.keys():
        yield _ended(replica, new)
    if new.ended and new.ended.replica not in before and (old is None or new.ended != old.ended):
        yield _ended(new.ended.replica, new)


def _ended(replica: str, model: ModelStatus) -> _Change:
    """Why a replica is not there any more, as far as that is known."""
    last = model.ended
    if last and last.replica == replica and last.stage is ReplicaStage.FAILED:
        return EventType.ERROR, f"Replica {replica} failed: {last.info or 'no reason was given'}."
    stopped = bool(last and last.replica == replica)
    if stopped or model.state not in (ModelState.READY, ModelState.LAUNCHING):
        return EventType.INFO, f"Replica {replica} ended."
    return EventType.WARNING, f"Replica {replica} is lost: nobody reaches it."


def _stage(report: ReplicaReport) -> str:
    place = f" on {report.node}" if report.node else ""
    return f"{report.stage.value.replace('_', ' ')}{place}"


def _size(model: ModelStatus) -> str:
    count = model.desired
    if count == 1:
        return "1 replica"
    return f"{count} replicas"
