"""When models fall asleep, as a plain class: what supervisors report goes in, verdicts come out. No Ray, no clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from xinfer.messages import ModelState, ModelStatus, ModelTable, Usage

_UNKNOWN = Usage()


@dataclass(frozen=True, slots=True)
class Drain:
    """Announce that the model is about to sleep, so that nobody sends it requests."""

    uid: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Nobody uses it, and everybody knows that it is about to sleep: give everything back."""

    uid: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Somebody uses it after all, or could not be asked: have it up again."""

    uid: str


Verdict = Drain | Sleep | Resume


@dataclass(frozen=True, slots=True)
class _Heard:
    version: int
    """Of the table it acts on."""
    usages: Mapping[str, Usage]
    at: float


@dataclass(slots=True)
class _Draining:
    version: int
    """Of the table that says so."""
    since: float


class Idleness:
    """Decides which models fall asleep, in two steps, so that no request is lost.

    Once no supervisor has used a model for its ``idle_timeout_s``, it drains: the table says so, and nobody sends it
    requests. When every supervisor acts on that table and has nothing under way, it sleeps; if one has, or does not say
    within ``patience_s``, it is resumed. Supervisors are expected to report every ``period_s``; one that has been silent for
    three times as long is gone. Times are seconds of any clock that does not go back; the first is when the registry started.
    """

    def __init__(self, now: float, period_s: float = 5.0, patience_s: float = 5.0) -> None:
        self._started = now
        self._period_s = period_s
        self._patience_s = patience_s
        self._supervisors: dict[str, _Heard] = {}
        # By UID: of which launch, and since when it has been READY.
        self._up_since: dict[str, tuple[float, float]] = {}
        self._last_use: dict[str, float] = {}
        self._naps: dict[str, _Draining] = {}
        # By UID: when somebody asked for sleep.
        self._asked: dict[str, float] = {}

    def ask(self, uid: str, now: float) -> None:
        """Somebody wants this model to sleep: it does as soon as nothing is under way there, or not if that takes too long."""
        self._asked[uid] = now

    def withdraw(self, uid: str) -> None:
        """Nobody wants this model to sleep any more, but for its idle timeout."""
        self._asked.pop(uid, None)

    def hear(self, supervisor: str, version: int, usages: Mapping[str, Usage], now: float) -> None:
        """A supervisor acts on the table of this ``version`` and uses models like this."""
        self._supervisors[supervisor] = _Heard(version, usages, now)
        for uid, usage in usages.items():
            used = now if usage.in_flight else now - usage.idle_s
            self._last_use[uid] = max(used, self._last_use.get(uid, used))

    def announced(self, uid: str, version: int, now: float) -> None:
        """The table of this ``version`` is the first that says that the model drains."""
        self._naps[uid] = _Draining(version, now)

    def decide(self, table: ModelTable, now: float, awake: Collection[str] = ()) -> list[Verdict]:
        """What is to be done about the models that have an idle timeout, or were asked to sleep.

        Those of ``awake`` do not begin to sleep by themselves.
        """
        self._forget(table, now)
        models = [model for model in table.models.values() if self._may_sleep(model)]
        return [verdict for model in models if (verdict := self._verdict(model, now, awake))]

    def _may_sleep(self, model: ModelStatus) -> bool:
        uid = model.spec.uid
        # One that drains has to come to an end of that, even if nobody wants it any more.
        return model.spec.idle_timeout_s is not None or uid in self._asked or uid in self._naps

    def _verdict(self, model: ModelStatus, now: float, awake: Collection[str]) -> Verdict | None:
        uid = model.spec.uid
        nap = self._naps.get(uid)
        if nap and model.state is ModelState.DRAINING:
            return self._end_of(nap, model, now)
        if nap or model.state is not ModelState.READY:
            self._start_again(uid)
        if model.state is not ModelState.READY or uid in awake:
            return None
        if self._is_idle(model, self._ready_since(model, now), now):
            return Drain(uid)
        return None

    def _timeout_s(self, model: ModelStatus) -> float:
        if model.spec.uid in self._asked:
            return 0.0
        return float(model.spec.idle_timeout_s or 0)

    def _ready_since(self, model: ModelStatus, now: float) -> float:
        launch, since = self._up_since.get(model.spec.uid, (None, now))
        if launch != model.spec.created_at:
            since = now
            self._up_since[model.spec.uid] = (model.spec.created_at, since)
        return since

    def _start_again(self, uid: str) -> None:
        """Once it is up, the next attempt is a whole timeout away."""
        self._naps.pop(uid, None)
        self._up_since.pop(uid, None)

    def _is_idle(self, model: ModelStatus, up_since: float, now: float) -> bool:
        """Whether it is certain that it has not been used for long enough; nothing is while a supervisor may be unheard."""
        timeout_s = self._timeout_s(model)
        used = max(up_since, self._last_use.get(model.spec.uid, up_since))
        return (
            now - used >= timeout_s
            and now - self._started >= self._forget_s
            and all(now - heard.at <= 1.5 * self._period_s for heard in self._supervisors.values())
            and all(_is_unused(heard, model, timeout_s) for heard in self._supervisors.values())
        )

    def _end_of(self, nap: _Draining, model: ModelStatus, now: float) -> Verdict | None:
        uid = model.spec.uid
        told = [heard for heard in self._supervisors.values() if heard.version >= nap.version]
        if not all(_is_unused(heard, model, self._timeout_s(model)) for heard in told):
            verdict: Verdict = Resume(uid)
        elif len(told) == len(self._supervisors):
            verdict = Sleep(uid)
        elif now - nap.since >= self._patience_s:
            verdict = Resume(uid)
        else:
            return None
        self._start_again(uid)
        self._asked.pop(uid, None)
        return verdict

    @property
    def _forget_s(self) -> float:
        return 3 * self._period_s

    def _forget(self, table: ModelTable, now: float) -> None:
        """Supervisors that are gone, wishes that were not granted, and models that are gone."""
        self._supervisors = {name: h for name, h in self._supervisors.items() if now - h.at < self._forget_s}
        self._asked = {uid: at for uid, at in self._asked.items() if now - at < self._forget_s}
        for known in (self._up_since, self._last_use, self._naps, self._asked):
            for uid in known.keys() - table.models.keys():
                del known[uid]


def _is_unused(heard: _Heard, model: ModelStatus, timeout_s: float) -> bool:
    """Whether this supervisor has nothing under way there, and by its own clock had nothing for as long as the timeout."""
    usage = heard.usages.get(model.spec.uid, _UNKNOWN)
    return usage.in_flight == 0 and usage.idle_s >= timeout_s
