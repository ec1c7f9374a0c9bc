"""The registry's part that scales models: takes what is reported, decides twice a second, and keeps what people ask for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from supervisor.registry.autoscaling.scaling import Change, Scaling
from supervisor.registry.autoscaling.signals import Signals
from supervisor.registry.events import Events
from supervisor.registry.models import Models
from supervisor.registry.store import Store
from xinfer.errors import LaunchRefused
from xinfer.messages import AutoscalingConfig, EngineLoad, ModelSpec, ModelState, ScalingStatus, SupervisorLoad

_log = logging.getLogger("xinfer.registry")
_PERIOD_S = 0.5


@dataclass(frozen=True, slots=True)
class Host:
    """What the scaler asks of the registry."""

    check_room: Callable[[ModelSpec], None]
    """``LaunchRefused`` if there is no room for the spec's replicas."""
    wake: Callable[[str], Awaitable[str]]
    """Have a sleeping model come up; empty, or the sentence that says why it stays asleep."""
    changed: Callable[[str], Awaitable[None]]
    """Tell everybody about a model, and have done what is to be done about it."""
    is_stopping: Callable[[], bool]
    now: Callable[[], float]
    """Unix time in seconds."""


class Scaler:
    """``Scaling`` with a clock, the disk and the registry around it."""

    def __init__(self, models: Models, store: Store, events: Events, host: Host) -> None:
        self._models = models
        self._store = store
        self._events = events
        self._host = host
        self._now = host.now
        self._signals = Signals()
        self._scaling = Scaling(models, self._signals, host.check_room)

    async def follow_load(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            if self._host.is_stopping():
                continue
            try:
                await self._step()
            except Exception:  # noqa: BLE001  # whatever Ray raises of its nodes: the next step may go well
                _log.exception("a step of autoscaling failed")

    # What is reported.

    def hear(self, supervisor: str) -> None:
        """This supervisor is there."""
        self._signals.hear(supervisor, time.monotonic())

    def on_supervisor(self, supervisor: str, version: int, loads: Mapping[str, SupervisorLoad]) -> None:
        """A supervisor acts on the table of ``version``, and has this to do for models that are scaled."""
        self._signals.on_supervisor(supervisor, version, loads, time.monotonic())

    def on_engine(self, uid: str, replica: str, load: EngineLoad) -> None:
        """A replica says how busy its engine is."""
        self._signals.on_engine(uid, replica, load, time.monotonic())

    # What people ask for.

    async def by_hand(self, uid: str, replicas: int, in_flight: Mapping[str, int]) -> None:
        """Have a model that is up get this many replicas, which ends no stream. Raises as ``Scaling.by_hand`` does."""
        before = self._models.get(uid).desired
        if replicas < 1:
            raise LaunchRefused("A model has at least one replica; terminate it to have none.", param="replica")
        self._scaling.by_hand(uid, replicas, self._now(), in_flight)
        _log.info("scale %s from %d to %d replicas", uid, before, replicas)
        await self._host.changed(uid)

    async def configure(self, uid: str, autoscaling: AutoscalingConfig | None, idle_timeout_s: float | None) -> None:
        """Have the number of a model's replicas follow its load in this way, or stay as it is. Raises ``ModelNotFound``."""
        record = self._models.get(uid)
        self._models.configure(uid, autoscaling, idle_timeout_s)
        self._store.save(record.durable_spec, asleep=record.state is ModelState.SLEEPING)
        _log.info("autoscaling of %s: %s", uid, autoscaling)
        await self._host.changed(uid)

    def status(self, uid: str) -> ScalingStatus:
        """How a model is scaled, and the last decisions. Raises ``ModelNotFound``."""
        return self._scaling.status(uid, self._now())

    # What others have to know.

    def replicas_to_wake(self, spec: ModelSpec) -> int:
        """How many replicas a model wakes with."""
        return self._scaling.replicas_to_wake(spec, self._now())

    def kept_awake(self) -> set[str]:
        """The models that a schedule, or their configuration, keeps from sleeping."""
        return self._scaling.kept_awake(self._now())

    def nobody_uses(self, uid: str, replica: str, version: int) -> bool:
        """Whether every supervisor acts on a table of ``version`` or later and has no request under way at this replica."""
        return self._signals.nobody_uses(uid, replica, version)

    async def _step(self) -> None:
        for change in self._scaling.step(time.monotonic(), self._now()):
            if await self._is_carried_out(change):
                await self._host.changed(change.uid)

    async def _is_carried_out(self, change: Change) -> bool:
        if change.wakes:
            refusal = await self._host.wake(change.uid)
            if refusal:
                _log.warning("%s cannot wake: %s", change.uid, refusal)
                return False
        if change.note:
            _log.info("%s: %s", change.uid, change.note)
            self._events.note(change.uid, change.note, self._now(), is_warning=change.is_warning)
        return True
