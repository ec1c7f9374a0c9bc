"""Scales all models, step by step: decisions become changes of ``Models``. No Ray, no clock; the registry's shell has both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from supervisor.registry.autoscaling.autoscaler import Autoscaler, Bounds, Verdict, bounds
from supervisor.registry.autoscaling.load import Load
from supervisor.registry.autoscaling.shares import Claim, fair_sizes
from supervisor.registry.autoscaling.signals import Signals
from supervisor.registry.models import Models
from supervisor.registry.record import Record
from xinfer.errors import LaunchRefused, Unavailable
from xinfer.messages import AutoscalingConfig, ModelSpec, ModelState, ScalingDecision, ScalingStatus

DRAIN_TIMEOUT_S = AutoscalingConfig().drain_timeout_s
# Serve replaces a replica that has left with its next health check, unless there is no place for another one.
_REPLACED_S = 15.0
# A replica that leaves and has not been heard of for so long is gone.
_SILENT_S = 30.0
_WAKE_AGAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Change:
    """What ``Scaling`` has changed, for events and disk."""

    uid: str
    note: str = ""
    """A sentence for people."""
    is_warning: bool = False
    wakes: bool = False
    """The model sleeps and is to be woken."""


class Scaling:
    """Performs each autoscaler's decisions on ``models``, and sees to replicas that leave.

    ``check_room`` raises ``LaunchRefused`` if the cluster has not the GPUs for a spec's replicas.
    """

    def __init__(self, models: Models, signals: Signals, check_room: Callable[[ModelSpec], None]) -> None:
        self._models = models
        self._signals = signals
        self._check_room = check_room
        self._autoscalers: dict[str, Autoscaler] = {}
        self._launches: dict[str, float] = {}
        self._loads: dict[str, Load] = {}
        self._blocked: dict[str, str] = {}
        # The number that was last asked for, to notice that the registry went back from it.
        self._asked: dict[str, int] = {}
        self._wake_again: dict[str, float] = {}

    def step(self, now: float, unix_time: float) -> list[Change]:
        """Measure and decide. ``now`` is of a clock that does not go back."""
        table = self._models.table()
        self._signals.keep_only(table.models, now)
        kept = (self._autoscalers, self._loads, self._blocked, self._asked, self._launches, self._wake_again)
        for known in kept:
            for uid in known.keys() - table.models.keys():
                del known[uid]

        at = datetime.fromtimestamp(unix_time, UTC)
        changes: list[Change] = []
        shares = self._shares(at, now)
        for uid in table.models:
            record = self._models.get(uid)
            changes += self._departures(record, unix_time)
            config = record.spec.autoscaling
            if config is None:
                self._forget(uid)
            elif record.state is ModelState.SLEEPING and record.end is None:
                changes += self._wake_by_schedule(uid, bounds(config, at), now)
            elif record.state is ModelState.READY and record.end is None:
                limits = _within_share(bounds(config, at), record.desired, shares.get(uid))
                changes += self._autoscale(record, limits, now, unix_time)
        return changes

    def _wake_by_schedule(self, uid: str, limits: Bounds, now: float) -> list[Change]:
        if limits.least == 0 or now < self._wake_again.get(uid, now):
            return []
        # There may be no room for it.
        self._wake_again[uid] = now + _WAKE_AGAIN_S
        return [Change(uid, f"Woken {limits.why}.", wakes=True)]

    def kept_awake(self, unix_time: float) -> set[str]:
        """The models that a schedule, or their configuration, keeps from sleeping."""
        at = datetime.fromtimestamp(unix_time, UTC)
        awake: set[str] = set()
        for uid, model in self._models.table().models.items():
            config = model.spec.autoscaling
            if config and bounds(config, at).least > 0:
                awake.add(uid)
        return awake

    def replicas_to_wake(self, spec: ModelSpec, unix_time: float) -> int:
        """How many replicas a model wakes with."""
        if spec.autoscaling is None:
            return spec.replicas
        return max(1, bounds(spec.autoscaling, datetime.fromtimestamp(unix_time, UTC)).least)

    def by_hand(self, uid: str, replicas: int, unix_time: float, counted: Mapping[str, int] | None = None) -> None:
        """Have a model that is up get this many replicas, the least busy ones leaving first.

        ``counted`` is what was last known to be in flight at each of them, for a model without autoscaling.

        Raises ``Conflict``, ``LaunchRefused``, ``ModelNotFound``, or ``Unavailable`` while not all of them are known yet.
        """
        record = self._models.get(uid)
        if record.restored and record.state is ModelState.READY and replicas < record.desired:
            raise Unavailable("The registry has just started and does not know all replicas yet.", retry_after_s=5)
        more = replicas - record.desired
        if more > 0:
            self._check_room(replace(record.spec, replicas=more))
        order = self._signals.leaving_order(record.status(), counted)
        before = record.desired
        self._models.resize(uid, replicas, order, unix_time)
        if record.spec.autoscaling:
            self._asked[uid] = replicas
            self._note(self._autoscaler(record), before, replicas, "asked for by hand", unix_time)

    def status(self, uid: str, unix_time: float) -> ScalingStatus:
        """How a model is scaled."""
        record = self._models.get(uid)
        model = record.status()
        config = record.spec.autoscaling
        ready = len(model.targets)
        asleep = model.is_asleep
        limits = bounds(config, datetime.fromtimestamp(unix_time, UTC)) if config else None
        autoscaler = self._autoscalers.get(uid)
        load = self._loads.get(uid)
        return ScalingStatus(
            desired=0 if asleep else record.desired,
            ready=0 if asleep else ready,
            starting=0 if asleep else max(0, record.desired - ready),
            leaving=len(record.leaving),
            config=config,
            min_replicas=limits.least if limits else None,
            max_replicas=limits.most if limits else None,
            blocked=self._blocked.get(uid, ""),
            load={name: value for name, value in asdict(load).items() if value is not None} if load else {},
            decisions=tuple(autoscaler.decisions) if autoscaler else (),
        )

    def _shares(self, at: datetime, now: float) -> dict[str, int]:
        """What models have to be content with while one cannot grow: their share, by weight, of what all of them have."""
        claims: list[Claim] = []
        gpus = 0.0
        if not self._blocked:
            return {}
        for uid, autoscaler in self._autoscalers.items():
            record = self._models.get(uid)
            spec = record.spec
            if spec.autoscaling is None or not spec.gpus or record.state is not ModelState.READY:
                continue
            limits = bounds(spec.autoscaling, at)
            least = max(1, limits.least)
            need = max(least, min(limits.most, autoscaler.need_lately(now)))
            claims.append(Claim(uid, spec.gpus_per_replica, spec.autoscaling.priority, least, need))
            gpus += spec.gpus_per_replica * record.desired
        sizes = fair_sizes(claims, gpus)
        # One that needs less than its share gives the rest up when it has not needed it for some seconds.
        return {claim.uid: sizes[claim.uid] for claim in claims if sizes[claim.uid] < claim.need}

    def _departures(self, record: Record, unix_time: float) -> list[Change]:
        """Let replicas end that nobody uses any more, and tell Serve of those that it finds no replacement for."""
        uid = record.spec.uid
        config = record.spec.autoscaling
        limit_s = config.drain_timeout_s if config else DRAIN_TIMEOUT_S
        changes: list[Change] = []
        for replica, departure in list(record.leaving.items()):
            waited_s = unix_time - departure.since
            heard = record.replicas.get(replica)
            if heard is None and waited_s > _SILENT_S:
                del record.leaving[replica]
                record.left += 1
                record.left_at = unix_time
            elif waited_s > limit_s and not departure.at_once:
                self._models.may_leave(uid, replica, at_once=True)
                note = f"Replica {replica} leaves after {limit_s:g} s; requests that it still has are broken off."
                changes.append(Change(uid, note, is_warning=True))
            elif not departure.told and self._signals.nobody_uses(uid, replica, departure.version):
                self._models.may_leave(uid, replica, at_once=False)
        if record.left and unix_time - record.left_at > _REPLACED_S:
            self._models.forget_left(uid)
            changes.append(Change(uid))
        return changes

    def _autoscale(self, record: Record, limits: Bounds, now: float, unix_time: float) -> list[Change]:
        uid = record.spec.uid
        autoscaler = self._autoscaler(record)
        model = record.status()
        load = self._signals.load(model, now)
        if record.restored:
            # Replicas that this registry has not heard of yet must not be taken for ones that are not up.
            load = replace(load, is_whole=False)
        self._loads[uid] = load
        changes: list[Change] = []

        asked = self._asked.get(uid)
        if asked is not None and record.desired < asked:
            # They did not come up; the model's reason says why.
            autoscaler.failed(now)
            self._note(autoscaler, asked, record.desired, record.reason or "another one did not come up", unix_time)
        elif load.starting == 0:
            autoscaler.came_up()
        self._asked[uid] = record.desired

        pressed = record.spec.gpus > 0 and any(other != uid for other in self._blocked)
        verdict = autoscaler.decide(load, limits, now, pressed=pressed)
        if verdict.desired > record.desired:
            changes += self._grow(record, autoscaler, verdict, unix_time)
        elif min(autoscaler.need, limits.most) <= record.desired:
            self._blocked.pop(uid, None)
        if verdict.desired < record.desired:
            before = record.desired
            self._models.resize(uid, verdict.desired, self._signals.leaving_order(model), unix_time)
            changes.append(self._decided(record, autoscaler, before, verdict, unix_time))
        return changes

    def _grow(self, record: Record, autoscaler: Autoscaler, verdict: Verdict, unix_time: float) -> list[Change]:
        """As far as there is room."""
        uid, before = record.spec.uid, record.desired
        refusal = ""
        for desired in range(verdict.desired, before, -1):
            try:
                self._check_room(replace(record.spec, replicas=desired - before))
            except LaunchRefused as error:
                refusal = refusal or error.message
                continue
            self._models.resize(uid, desired, (), unix_time)
            changes = [self._decided(record, autoscaler, before, replace(verdict, desired=desired), unix_time)]
            break
        else:
            changes = []
        if not refusal:
            self._blocked.pop(uid, None)
            return changes

        known = self._blocked.get(uid)
        self._blocked[uid] = f"{verdict.desired} replicas are needed ({verdict.reason}). {refusal}"
        if known is None:
            reason = f"needs {verdict.desired}, since {verdict.reason}, but: {refusal}"
            self._note(autoscaler, record.desired, record.desired, reason, unix_time)
            changes.append(Change(uid, f"Cannot grow to {verdict.desired} replicas: {refusal}", is_warning=True))
        return changes

    def _decided(
        self, record: Record, autoscaler: Autoscaler, before: int, verdict: Verdict, unix_time: float
    ) -> Change:
        uid = record.spec.uid
        self._asked[uid] = record.desired
        self._note(autoscaler, before, record.desired, verdict.reason, unix_time)
        return Change(uid, f"Autoscaling from {before} to {record.desired} replicas: {verdict.reason}.")

    @staticmethod
    def _note(autoscaler: Autoscaler, before: int, desired: int, reason: str, unix_time: float) -> None:
        autoscaler.decisions.append(ScalingDecision(unix_time, before, desired, reason))

    def _autoscaler(self, record: Record) -> Autoscaler:
        spec = record.spec
        assert spec.autoscaling is not None, "only for models that have one"
        autoscaler = self._autoscalers.get(spec.uid)
        if autoscaler is None or self._launches.get(spec.uid) != spec.created_at:
            autoscaler = self._autoscalers[spec.uid] = Autoscaler(spec.autoscaling)
            self._launches[spec.uid] = spec.created_at
            self._asked.pop(spec.uid, None)
        elif autoscaler.config != spec.autoscaling:
            # Measured anew, with other windows.
            autoscaler = self._autoscalers[spec.uid] = Autoscaler(spec.autoscaling, autoscaler.decisions)
        return autoscaler

    def _forget(self, uid: str) -> None:
        for known in (self._autoscalers, self._loads, self._blocked, self._asked, self._launches):
            known.pop(uid, None)


def _within_share(limits: Bounds, desired: int, share: int | None) -> Bounds:
    """One that has more than its share gives it up; one that has less may still grow if there is room after all."""
    if share is None or desired <= share:
        return limits
    return Bounds(min(limits.least, share), share, "as its share by weight, while other models wait for GPUs")
