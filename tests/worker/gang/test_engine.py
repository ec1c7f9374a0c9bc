"""The parts of an engine that spans nodes start together and end together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from worker.gang.engine import GangEngine
from xinfer.errors import LaunchFailed
from xinfer.messages import EngineLoad, FollowerReport, ReplicaStage

STAGES = [ReplicaStage.STARTING, ReplicaStage.WARMING_UP, ReplicaStage.READY]


class Leader:
    """The leader's part: it comes up, or raises ``failure`` instead of its last stage."""

    address = "http://10.0.0.1:1"
    pid: int | None = 7
    context_length: int | None = 4096
    followers: tuple[FollowerReport, ...] = ()

    def __init__(self, did: list[str], failure: Exception | None = None, *, hangs: bool = False) -> None:
        self._did = did
        self._failure = failure
        self._hangs = hangs
        self.ended = asyncio.Event()

    async def prepare(self) -> None:
        raise AssertionError("the replica prepares it")

    async def start(self) -> AsyncIterator[ReplicaStage]:
        for stage in STAGES[:-1]:
            self._did.append(stage)
            yield stage
        if self._hangs:
            await asyncio.Event().wait()
        if self._failure:
            raise self._failure
        yield STAGES[-1]

    async def check(self) -> None:
        self._did.append("checked")

    async def load(self) -> EngineLoad | None:
        return EngineLoad(running=1)

    async def wait(self) -> str:
        await self.ended.wait()
        return "the engine's process ended"

    async def stop(self) -> None:
        self._did.append("leader stopped")


class Gang:
    """Followers that do as they are told until ``lose``."""

    reports = (FollowerReport(1, "10.0.0.2"),)

    def __init__(self, did: list[str]) -> None:
        self._did = did
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.is_up = False

    def lose(self, reason: str) -> None:
        self._lost.set_result(reason)

    async def prepare(self) -> None:
        self._did.append("prepared")

    async def start(self) -> None:
        self._did.append("followers started")

    async def lost(self) -> str:
        return await asyncio.shield(self._lost)

    async def stop(self) -> None:
        self._did.append("followers stopped")

    def kill(self) -> None:
        self._did.append("followers killed")


async def started(engine: GangEngine) -> list[ReplicaStage]:
    return [stage async for stage in engine.start()]


async def test_followers_are_started_before_the_leader_and_are_up_with_it() -> None:
    did: list[str] = []
    gang = Gang(did)
    engine = GangEngine(Leader(did), gang)
    await engine.prepare()
    assert await started(engine) == STAGES
    assert did == ["prepared", "followers started", "starting", "warming_up"]
    assert gang.is_up
    assert (engine.address, engine.pid, engine.context_length) == ("http://10.0.0.1:1", 7, 4096)
    assert engine.followers == gang.reports
    assert await engine.load() == EngineLoad(running=1)
    await engine.check()
    await engine.stop()
    assert did[-2:] == ["leader stopped", "followers stopped"]


async def test_leader_that_waits_for_a_lost_follower_is_not_waited_for() -> None:
    did: list[str] = []
    gang = Gang(did)
    starting = asyncio.create_task(started(GangEngine(Leader(did, hangs=True), gang)))
    await asyncio.sleep(0.01)
    gang.lose("Worker 1 on 10.0.0.2: out of memory")
    with pytest.raises(LaunchFailed, match=r"Worker 1 on 10\.0\.0\.2: out of memory"):
        await starting
    assert not gang.is_up


async def test_follower_s_reason_counts_more_than_its_echo_at_the_leader() -> None:
    did: list[str] = []
    gang = Gang(did)
    starting = asyncio.create_task(started(GangEngine(Leader(did, LaunchFailed("connection closed by peer")), gang)))
    await asyncio.sleep(0.01)
    gang.lose("Worker 1 on 10.0.0.2: out of memory")
    with pytest.raises(LaunchFailed, match="out of memory"):
        await starting


async def test_leader_s_own_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.gang.engine._REASON_S", 0.01)
    did: list[str] = []
    with pytest.raises(LaunchFailed, match="no such file"):
        await started(GangEngine(Leader(did, LaunchFailed("no such file")), Gang(did)))


@pytest.mark.parametrize("first", ["leader", "follower"])
async def test_end_of_one_is_the_end_of_all(first: str) -> None:
    did: list[str] = []
    leader, gang = Leader(did), Gang(did)
    waiting = asyncio.create_task(GangEngine(leader, gang).wait())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    if first == "leader":
        leader.ended.set()
        assert await waiting == "the engine's process ended"
    else:
        gang.lose("Worker 1 on 10.0.0.2 is gone.")
        assert await waiting == "Worker 1 on 10.0.0.2 is gone."
    assert did == ["followers killed"]


async def test_who_stops_waiting_for_its_end_ends_nothing() -> None:
    did: list[str] = []
    waiting = asyncio.create_task(GangEngine(Leader(did), Gang(did)).wait())
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert did == []
