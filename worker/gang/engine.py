"""The engine of a replica that spans nodes: the leader's part, which has the server, and the followers'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

from worker.engine import Engine
from xinfer.errors import LaunchFailed
from xinfer.messages import EngineLoad, FollowerReport, ReplicaStage

# A follower's end makes the leader's engine fail, and may be heard of a little later.
_REASON_S = 2.0


class Followers(Protocol):
    """What it asks of a gang."""

    is_up: bool

    @property
    def reports(self) -> tuple[FollowerReport, ...]: ...

    async def prepare(self) -> None: ...

    async def start(self) -> None: ...

    async def lost(self) -> str: ...

    async def stop(self) -> None: ...

    def kill(self) -> None: ...


class GangEngine:
    """All parts start together, and the loss of one is the end of all."""

    def __init__(self, leader: Engine, gang: Followers) -> None:
        self._leader = leader
        self._gang = gang

    @property
    def address(self) -> str:
        return self._leader.address

    @property
    def pid(self) -> int | None:
        """The main process of the leader's part, None before ``start``."""
        return self._leader.pid

    @property
    def context_length(self) -> int | None:
        return self._leader.context_length

    @property
    def followers(self) -> tuple[FollowerReport, ...]:
        """How the other workers are doing."""
        return self._gang.reports

    async def prepare(self) -> None:
        """Start the followers, and have them get the model's files. Raises ``LaunchFailed``."""
        await self._gang.prepare()

    async def start(self) -> AsyncIterator[ReplicaStage]:
        """Start all parts and follow the leader's until it has answered."""
        await self._gang.start()
        stages = self._leader.start()
        while True:
            stage = await self._unless_lost(_next(stages))
            if stage is None:
                return
            if stage is ReplicaStage.READY:
                self._gang.is_up = True
            yield stage

    async def check(self) -> None:
        await self._leader.check()

    async def load(self) -> EngineLoad | None:
        return await self._leader.load()

    async def wait(self) -> str:
        """Return, with the reason, when one of the parts has ended. Then no follower is left."""
        ended = asyncio.ensure_future(self._leader.wait())
        lost = asyncio.ensure_future(self._gang.lost())
        try:
            await asyncio.wait({ended, lost}, return_when=asyncio.FIRST_COMPLETED)
            # Not gently: what waits for a part that is gone does not listen.
            self._gang.kill()
            if lost.done():
                return lost.result()
            return ended.result()
        finally:
            ended.cancel()
            lost.cancel()

    async def stop(self) -> None:
        """End all parts. Safe to call twice."""
        # In this order: the leader's part ends its requests, and would wait for followers that have gone.
        await self._leader.stop()
        await self._gang.stop()

    async def _unless_lost(self, step: Awaitable[ReplicaStage | None]) -> ReplicaStage | None:
        """What ``step`` returns; ``LaunchFailed`` with the reason of a follower that is lost meanwhile."""
        own = asyncio.ensure_future(step)
        lost = asyncio.ensure_future(self._gang.lost())
        try:
            await asyncio.wait({own, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not lost.done() and own.exception():
                await asyncio.wait({lost}, timeout=_REASON_S)
            if lost.done():
                raise LaunchFailed(lost.result())
            return own.result()
        finally:
            own.cancel()
            lost.cancel()


async def _next(stages: AsyncIterator[ReplicaStage]) -> ReplicaStage | None:
    return await anext(stages, None)
