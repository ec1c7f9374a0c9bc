"""The leader's side of a gang: its followers, from their place to their end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from worker.gang.follower import follower_actor
from worker.gang.seat import Seat
from worker.process import ReservedPort
from xinfer.errors import LaunchFailed
from xinfer.messages import FollowerReport, ModelSpec, ReplicaStage
from xinfer.settings import EngineSettings

_log = logging.getLogger("xinfer.worker")
_PERIOD_S = 0.5
# Together with the period it is less than the five seconds after which a lost node has to be noticed.
_SILENCE_S = 4.0
# A Ray process has to start and import for it.
_PLACE_S = 60.0
_STOP_S = 5.0


class Gang:
    """Starts a follower on each further node of the replica's placement group, and notices when one is lost."""

    def __init__(self, spec: ModelSpec, settings: EngineSettings, host: str, log: Path) -> None:
        self._spec = spec
        self._settings = settings
        self._host = host
        self._log = log
        self._actors: list[Any] = []
        self._reports = [FollowerReport(rank) for rank in range(1, spec.workers)]
        self._polls: list[asyncio.Task[None]] = []
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # The engine listens on all addresses there.
        self._port = ReservedPort("::" if ":" in host else "0.0.0.0")  # it is reserved, not listened on
        self.is_up = False
        """Whether the engine has answered: its leader's part says so for all."""

    @property
    def reports(self) -> tuple[FollowerReport, ...]:
        """The latest of each follower, in the order of their ranks."""
        if not self.is_up:
            return tuple(self._reports)
        alive = [each if each.stage.is_final else replace(each, stage=ReplicaStage.READY) for each in self._reports]
        return tuple(alive)

    def seat(self, rank: int) -> Seat:
        """The leader's is that of rank 0."""
        return Seat(rank, self._spec.workers, self._host, self._port.number)

    async def prepare(self) -> None:
        """Start the followers, and have each get the model's files. Raises ``LaunchFailed`` with the first one's reason."""
        group = ray.util.get_current_placement_group()
        assert group, "a gang has a placement group"
        actor = follower_actor()
        for rank in range(1, self._spec.workers):
            options = actor.options(
                num_cpus=0,
                num_gpus=self._spec.gpus,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
            )
            name = f"{self._log.stem}-worker{rank}{self._log.suffix}"
            self._actors.append(options.remote(self._spec, self._settings, rank, name))

        await self._all_or_lost(self._place(rank) for rank in range(1, self._spec.workers))
        await self._all_or_lost(self._note(actor.prepare.remote()) for actor in self._actors)

    async def start(self) -> None:
        """Have each follower start its part of the engine. Raises ``LaunchFailed``."""
        ranked = enumerate(self._actors, start=1)
        await self._all_or_lost(self._note(actor.start.remote(self.seat(rank))) for rank, actor in ranked)

    async def lost(self) -> str:
        """Wait until a follower is lost; returns why, in a sentence."""
        return await asyncio.shield(self._lost)

    async def stop(self) -> None:
        """End all followers and their parts of the engine. Safe to call twice."""
        for poll in self._polls:
            poll.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                stops = (actor.stop.remote() for actor in self._actors)
                # One that is lost has nothing to stop.
                await asyncio.gather(*map(_result_of, stops), return_exceptions=True)
        self.kill()
        self._port.close()

    def kill(self) -> None:
        """End all followers at once; the kernel ends their parts of the engine."""
        for actor in self._actors:
            ray.kill(actor, no_restart=True)

    async def _place(self, rank: int) -> None:
        """Wait for the follower's process. From then on it is asked how it is doing."""
        try:
            async with asyncio.timeout(_PLACE_S):
                await self._note(self._actors[rank - 1].report.remote())
        except TimeoutError:
            self._lose(f"Worker {rank} did not start within {_PLACE_S:g} s.")
        else:
            self._polls.append(asyncio.create_task(self._poll(rank)))

    async def _poll(self, rank: int) -> None:
        actor = self._actors[rank - 1]
        while True:
            await asyncio.sleep(_PERIOD_S)
            node = self._reports[rank - 1].node
            try:
                async with asyncio.timeout(_SILENCE_S):
                    await self._note(actor.report.remote(is_up=self.is_up))
            except TimeoutError:
                self._lose(f"Worker {rank} on {node} has not responded for {_SILENCE_S:g} s.")
                return
            except ray.exceptions.RayError as error:
                _log.warning("worker %d: %s", rank, error)
                self._lose(f"Worker {rank} on {node} is gone ({type(error).__name__}).")
                return

    async def _note(self, call: Awaitable[FollowerReport]) -> None:
        report = await call
        self._reports[report.rank - 1] = report
        if report.stage is ReplicaStage.FAILED:
            self._lose(f"Worker {report.rank} on {report.node}: {report.info}")

    async def _all_or_lost(self, steps: Iterable[Awaitable[None]]) -> None:
        """Wait for all of ``steps``; ``LaunchFailed`` as soon as a follower is lost."""
        together = asyncio.gather(*steps)
        either: list[asyncio.Future[Any]] = [together, self._lost]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self._lost.done():
                raise LaunchFailed(self._lost.result())
            try:
                await together
            except ray.exceptions.RayError as error:
                reason = f"A worker of the replica is gone ({type(error).__name__})."
                raise LaunchFailed(reason) from error
        finally:
            together.cancel()

    def _lose(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)


async def _result_of(call: Awaitable[FollowerReport]) -> FollowerReport:
    return await call
