"""A worker of a gang other than the leader."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import shutil
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from worker.command import engine_env
from worker.download import Source, fetch, needs_download
from worker.engine import make_scratch
from worker.engine_kind import kind_of
from worker.gang.seat import Seat, seat_env
from worker.memory.check import check_memory
from worker.memory.reservations import Ledger
from worker.process import EngineProcess
from worker.spare_process import prestart_next
from xinfer.engine_log import LogReader, cause_of, stage_of, tail
from xinfer.errors import XinferError
from xinfer.messages import FollowerReport, ModelSpec, ReplicaStage
from xinfer.settings import EngineSettings, home

_log = logging.getLogger("xinfer.worker")
# Without a question from its leader for so long. Ray ends it, too, when it hears of the leader's end, but takes longer where
# the leader's node is lost.
_ALONE_S = 4.0
_ALONE_PERIOD_S = 0.5
# No server listens there.
_NO_PORT = 0


class Follower:
    """An actor with the GPUs of one node and that node's part of the engine. It ends with its leader.

    Its methods return its report; one that failed has the stage FAILED, with the reason.
    """

    async def __init__(self, spec: ModelSpec, settings: EngineSettings, rank: int, log_name: str) -> None:  # type: ignore[misc]
        self._spec = spec
        self._settings = settings
        self._host: str = ray.util.get_node_ip_address()
        self._log = home() / "logs" / "engines" / log_name
        gpus = tuple(str(gpu) for gpu in ray.get_runtime_context().get_accelerator_ids().get("GPU", ()))
        self._report = FollowerReport(rank, self._host, gpu_ids=gpus, log=str(self._log))
        self._ledger = Ledger(home() / "run" / "memory.json")
        self._reader: LogReader | None = None
        self._process: EngineProcess | None = None
        self._scratch: Path | None = None
        self._has_prestarted = False
        self._tasks = [asyncio.create_task(self._end_if_alone())]
        self._asked_at = time.monotonic()

    async def report(self, *, is_up: bool = False) -> FollowerReport:
        """How it is doing. The leader has to ask again and again, and tells whether the engine as a whole has answered."""
        self._asked_at = time.monotonic()
        if is_up and not self._has_prestarted:
            # Not before: its imports would slow the engine's start down.
            self._has_prestarted = True
            self._tasks.append(asyncio.create_task(self._settle()))
        if self._report.stage is ReplicaStage.STARTING and self._reader:
            reached = stage_of(self._reader.new_lines())
            if reached is ReplicaStage.LOADING:
                self._report = replace(self._report, stage=reached)
        return self._report

    async def prepare(self) -> FollowerReport:
        """Get the model's files, and check the memory of this node."""
        try:
            await self._download()
            check = functools.partial(check_memory, ledger=self._ledger, owner=self._log.name)
            await asyncio.to_thread(check, self._spec, self._settings, self._report.gpu_ids)
        except Exception as error:  # noqa: BLE001  # the leader has to hear of each
            self._fail(error.message if isinstance(error, XinferError) else f"{type(error).__name__}: {error}")
        return self._report

    async def start(self, seat: Seat) -> FollowerReport:
        """Start this node's part of the engine."""
        try:
            await self._start(seat)
        except Exception as error:  # noqa: BLE001  # the leader has to hear of each
            self._fail(f"{type(error).__name__}: {error}")
        return self._report

    async def stop(self) -> FollowerReport:
        """End the engine's processes here, and remove what belongs to them."""
        for task in self._tasks:
            task.cancel()
        if self._process:
            # It has no requests of its own, and waits for a leader that has ended by now.
            await self._process.stop(0)
        if self._scratch:
            await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)
        self._report = replace(self._report, stage=ReplicaStage.STOPPED)
        return self._report

    async def _settle(self) -> None:
        # An engine that is up has what was reserved for it.
        await asyncio.to_thread(self._ledger.release, self._log.name)
        await prestart_next()

    async def _download(self) -> None:
        source = Source.of(self._spec)
        env = engine_env(self._spec, self._settings)
        if not await asyncio.to_thread(needs_download, source, env):
            return
        async with aclosing(fetch(source, env, self._log)) as states:
            async for state in states:
                self._report = replace(self._report, stage=ReplicaStage.DOWNLOADING, download=state)

    async def _start(self, seat: Seat) -> None:
        self._scratch = make_scratch()
        kind = kind_of(self._spec)
        argv = kind.argv(self._spec, self._settings, self._host, _NO_PORT, seat)
        env = {
            **await asyncio.to_thread(seat_env, self._host),
            **engine_env(self._spec, self._settings),
            "TMPDIR": str(self._scratch),
        }
        # Created before the start, so that it skips what an earlier engine has logged.
        self._reader = LogReader(self._log)
        self._process = await kind.start(argv, env, self._log)
        self._report = replace(self._report, stage=ReplicaStage.STARTING, pid=self._process.pid)
        self._tasks.append(asyncio.create_task(self._watch(self._process)))

    async def _watch(self, process: EngineProcess) -> None:
        code = await process.wait()
        cause = await asyncio.to_thread(lambda: cause_of(tail(self._log)))
        self._fail(cause or f"the engine's process ended with exit code {code}")

    async def _end_if_alone(self) -> None:
        while time.monotonic() - self._asked_at < _ALONE_S:  # noqa: ASYNC110  # the end of a silence is no event
            await asyncio.sleep(_ALONE_PERIOD_S)
        _log.warning("the leader is gone")
        # The engine's processes end with this one.
        os._exit(1)

    def _fail(self, reason: str) -> None:
        self._report = replace(self._report, stage=ReplicaStage.FAILED, info=reason)


def follower_actor() -> Any:
    """The class as Ray's, made when it is needed: importing this module needs no cluster."""
    return ray.remote(Follower)
