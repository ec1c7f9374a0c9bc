"""Requests that wait for a sleeping model: one call to the registry per model, however many wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from supervisor.model_table import LiveTable
from supervisor.registry.client import RegistryClient
from xinfer.errors import LaunchFailed, ModelLoading, ModelOverloaded, Unavailable
from xinfer.messages import ModelState, ModelStatus

_ASK_AGAIN_S = 5.0
_RETRY_S = 0.5
_ENDS = (ModelState.FAILED, ModelState.CANCELLED, ModelState.TERMINATING)


@dataclass(slots=True)
class _Sleeper:
    """A model that is being woken, and the requests that wait for it."""

    limit: int
    """Requests that each of its replicas takes from here."""
    task: asyncio.Task[None] | None = None
    waiting: int = 0


class Waking:
    """Wakes models and lets their requests wait, no more of them than the model takes at once."""

    def __init__(self, models: LiveTable, registry: RegistryClient, timeout_s: float) -> None:
        self._models = models
        self._registry = registry
        self._timeout_s = timeout_s
        self._sleepers: dict[str, _Sleeper] = {}

    async def wait(self, model: ModelStatus, limit: int) -> None:
        """Return when the model takes this request; ``limit`` is what each replica takes from here.

        Raises ``ModelOverloaded`` at once if as many wait already as its replicas take; ``ModelLoading`` after the timeout,
        ``Unavailable`` if there is no room for it, ``LaunchFailed`` if its engine does not come up.
        """
        uid = model.spec.uid
        sleeper = self._sleepers.setdefault(uid, _Sleeper(limit))
        if sleeper.waiting >= limit * model.spec.replicas:
            sentence = f"As many requests wait for the model {uid!r} to wake as it can take."
            raise ModelOverloaded(sentence, retry_after_s=1)
        sleeper.waiting += 1
        if sleeper.task is None:
            sleeper.task = asyncio.create_task(self._wake(uid, sleeper))
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.shield(sleeper.task)
        except TimeoutError:
            raise ModelLoading(self._still_waking(uid), retry_after_s=5) from None
        finally:
            sleeper.waiting -= 1
            self._leave(uid, sleeper)

    def _leave(self, uid: str, sleeper: _Sleeper) -> None:
        """Those that come after the end of the task, or after the last one left, begin anew."""
        assert sleeper.task is not None, "who waits has a task to wait for"
        if sleeper.task.done() or not sleeper.waiting:
            sleeper.task.cancel()
            if self._sleepers.get(uid) is sleeper:
                del self._sleepers[uid]

    async def _wake(self, uid: str, sleeper: _Sleeper) -> None:
        while not self._takes_all(self._models.all, uid, sleeper):
            await self._ask(uid)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ASK_AGAIN_S):
                    await self._models.wait_until(lambda table: self._takes_all(table, uid, sleeper))

    async def _ask(self, uid: str) -> None:
        """Have the registry wake the model, unless it is no longer asleep; a registry that is away is asked again."""
        while (model := self._models.all.get(uid)) and model.is_asleep:
            try:
                refusal = await self._registry.wake(uid)
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
                continue
            if refusal:
                raise Unavailable(f"The model {uid!r} is asleep and cannot wake now: {refusal}", retry_after_s=10)
            return

    def _takes_all(self, table: Mapping[str, ModelStatus], uid: str, sleeper: _Sleeper) -> bool:
        """Whether there is room for all that wait, at the replicas there are or because no more are to come."""
        model = table.get(uid)
        if model is None or model.state in _ENDS:
            reason = model.reason if model else ""
            raise LaunchFailed(f"The model {uid!r} did not wake up. {reason or 'It was terminated.'}")
        room = len(model.targets) * sleeper.limit
        return model.is_complete or (model.state is ModelState.READY and room >= sleeper.waiting)

    def _still_waking(self, uid: str) -> str:
        model = self._models.all.get(uid)
        reason = f" {model.reason}" if model and model.reason else ""
        return f"The model {uid!r} is still waking up.{reason}"
