"""Moves replicas that span nodes, gangs, off nodes that are drained.

Serve moves a replica when the node of its actor, the gang's leader, is drained. It does not know of the followers.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import replace

from supervisor.registry.autoscaling.scaler import Host
from supervisor.registry.events import Events
from supervisor.registry.models import Models
from supervisor.registry.reconciler import Deployments
from xinfer.errors import LaunchRefused
from xinfer.messages import ReplicaReport

_log = logging.getLogger("xinfer.registry")
_PERIOD_S = 1.0
# After another gang that did not come up.
_RETRY_S = 60.0


class GangMigration:
    """Has another gang come up for each that has a follower on a drained node, where there is room. ``Models`` does the rest."""

    def __init__(self, models: Models, deployer: Deployments, events: Events, host: Host) -> None:
        self._models = models
        self._deployer = deployer
        self._events = events
        self._host = host
        # By replica.
        self._tried_at: dict[str, float] = {}
        self._said_to_stay: set[str] = set()

    async def follow_drains(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(_PERIOD_S)
            if self._host.is_stopping():
                continue
            try:
                await self.step(time.monotonic())
            except Exception:  # noqa: BLE001  # whatever Ray raises of its nodes: the next step may go well
                _log.exception("looking for gangs on drained nodes failed")

    async def step(self, now: float) -> None:
        """Look once. ``now`` is of a clock that does not go back, in seconds."""
        gangs = [model for model in self._models.table().models.values() if model.spec.workers > 1]
        self._keep_only({report.replica for model in gangs for report in model.replicas})
        if not gangs:
            return
        draining = await asyncio.to_thread(self._deployer.draining)
        for model in gangs:
            gang = self._next(model.spec.uid, draining, now)
            if gang:
                await self._move(gang, draining, now)

    def _next(self, uid: str, draining: set[str], now: float) -> ReplicaReport | None:
        """The gang of this model that is to move now."""
        for gang in self._models.may_migrate(uid):
            waited_s = now - self._tried_at.get(gang.replica, -math.inf)
            if waited_s > _RETRY_S and gang.node not in draining and _left_behind(gang, draining):
                return gang
        return None

    async def _move(self, gang: ReplicaReport, draining: set[str], now: float) -> None:
        uid = gang.model_uid
        refusal = await self._lack_of_room(uid)
        still = self._next(uid, draining, now)
        if still is None or still.replica != gang.replica:
            return

        places = ", ".join(_left_behind(gang, draining))
        fact = f"Replica {gang.replica} has a worker on {places}, which is drained"
        if refusal:
            await self._stay(gang, f"{fact}, and stays there: {refusal}")
            return
        self._tried_at[gang.replica] = now
        self._models.migrate(uid, gang.replica)
        self._events.note(uid, f"{fact}; another one comes up for it.", self._host.now())
        await self._host.changed(uid)

    async def _stay(self, gang: ReplicaReport, reason: str) -> None:
        uid = gang.model_uid
        if gang.replica not in self._said_to_stay:
            self._said_to_stay.add(gang.replica)
            self._events.note(uid, reason, self._host.now(), is_warning=True)
        if self._models.get(uid).reason != reason:
            self._models.explain(uid, reason)
            await self._host.changed(uid)

    async def _lack_of_room(self, uid: str) -> str:
        """Why no further gang of this model can come up, in sentences; empty if one can."""
        spec = replace(self._models.get(uid).spec, replicas=1)
        models = list(self._models.table().models.values())
        try:
            await asyncio.to_thread(self._deployer.check_room, spec, models)
        except LaunchRefused as refusal:
            return refusal.message
        return ""

    def _keep_only(self, replicas: set[str]) -> None:
        self._tried_at = {name: at for name, at in self._tried_at.items() if name in replicas}
        self._said_to_stay &= replicas


def _left_behind(gang: ReplicaReport, draining: set[str]) -> list[str]:
    """The drained nodes that a gang has followers on."""
    return [follower.node for follower in gang.followers if follower.node in draining]
