"""Real servers inside a test's event loop: engines, and a supervisor whose registry is played."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from supervisor.registry.families import Families
from tests.supervisor.samples import model_status, report, table
from worker.fake.behaviour import Behaviour
from worker.fake.server import FakeEngine
from xinfer.cluster.ports import free_port
from xinfer.errors import Unavailable
from xinfer.messages import (
    ClusterLoad,
    Event,
    ModelLife,
    ModelSpec,
    ModelStatus,
    NodeReport,
    Registration,
    ReplicaReport,
    ScalingStatus,
)

ROOT = Path(__file__).resolve().parents[2]


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.leave = asyncio.Event()

    async def main_loop(self) -> None:
        """In place of uvicorn's, which looks ten times a second."""
        await self.leave.wait()

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # they are pytest's
        yield


@asynccontextmanager
async def serving(app: Any, lifespan: str = "off") -> AsyncIterator[str]:
    """``app`` behind uvicorn, at the URL that this gives."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # asyncio sets TCP_NODELAY on no other
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        config = uvicorn.Config(app, log_level="critical", lifespan=lifespan, ws="none", timeout_graceful_shutdown=1)
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            assert not task.done(), "the server did not start"
            await asyncio.sleep(0.002)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.force_exit = lifespan == "off"  # an engine has nothing to say good-bye to
            server.leave.set()
            await task


@asynccontextmanager
async def fake_engine(uid: str = "m", **behaviour: Any) -> AsyncIterator[ReplicaReport]:
    """A fake engine in this process, as the replica that it would be."""
    engine = FakeEngine(uid, 4096, Behaviour(**behaviour))
    async with serving(engine.app()) as url:
        yield report(f"replica-{url[-5:]}", uid=uid, address=url)


@asynccontextmanager
async def fake_engine_process(uid: str = "m", **behaviour: Any) -> AsyncIterator[ReplicaReport]:
    """A fake engine in a process of its own, for faults that end it."""
    port = free_port("127.0.0.1")
    argv = [sys.executable, "-m", "worker.fake.server", "127.0.0.1", str(port), uid, "4096", json.dumps(behaviour)]
    process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(verify=False) as http, asyncio.timeout(30):
            while process.returncode is None:
                with contextlib.suppress(httpx.TransportError):
                    await http.get(f"{url}/health")
                    break
                await asyncio.sleep(0.02)
        yield report(f"replica-{port}", uid=uid, address=url)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def dead_replica(uid: str = "m") -> ReplicaReport:
    """A replica whose port nobody listens on."""
    port = free_port("127.0.0.1")
    return report(f"dead-{port}", uid=uid, address=f"http://127.0.0.1:{port}")


class RegistryDouble:
    """Answers what a supervisor asks of the registry; ``tell`` it what there is."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answers: dict[str, Any] = {}
        """What it answers, by method; None to all others."""
        self.told: list[tuple[Any, ...]] = []
        """What supervisors said of themselves as they watched: their id, and how they use models."""
        self.in_flight: dict[str, dict[str, int]] = {}
        """What supervisors said they have in flight, by replica."""
        self.away = False
        self.reached = asyncio.Event()
        """Set while all supervisors follow at once."""
        self.reached.set()
        self.families = Families()
        self._table = table(version=1)
        self._changed = asyncio.Condition()

    async def watch(
        self, version: int, timeout_s: float, supervisor: str = "", usages: Any = None, families_version: int = 0
    ) -> Any:
        return await self._call("watch", version, timeout_s, supervisor, usages)

    async def node_reports(self) -> dict[str, NodeReport]:
        return dict(await self._call("node_reports") or {})

    async def drain_cluster(self, timeout_s: float) -> bool:
        return bool(await self._call("drain_cluster", timeout_s))

    async def drained(self, supervisor: str) -> None:
        await self._call("drained", supervisor)

    async def reach_all(self, version: int) -> None:
        if self.away:
            raise Unavailable("The registry is restarting.", retry_after_s=2)
        await self.reached.wait()

    async def launch(self, spec: ModelSpec) -> None:
        await self._call("launch", spec)

    async def register(self, registration: Registration) -> int:
        return int(await self._call("register", registration))

    async def unregister(self, name: str) -> int:
        return int(await self._call("unregister", name))

    async def scale(self, uid: str, replicas: int) -> None:
        await self._call("scale", uid, replicas)

    async def autoscale(self, uid: str, autoscaling: Any, idle_timeout_s: float | None) -> None:
        await self._call("autoscale", uid, autoscaling, idle_timeout_s)

    async def scaling(self, uid: str) -> ScalingStatus:
        return await self._call("scaling", uid) or ScalingStatus(1, 1, 0, 0)

    async def report_load(self, supervisor: str, version: int, loads: Any) -> None:
        await self._call("report_load", supervisor, version, loads)

    async def exchange_loads(self, supervisor: str, in_flight: Any, moved: Any) -> ClusterLoad:
        if self.away:
            raise Unavailable("The registry is restarting.", retry_after_s=2)
        self.in_flight[supervisor] = dict(in_flight)
        answer: ClusterLoad = self.answers.get("exchange_loads", ClusterLoad())
        return answer

    async def sleep(self, uid: str) -> bool:
        return bool(await self._call("sleep", uid))

    async def wake(self, uid: str) -> str:
        return str(await self._call("wake", uid) or "")

    async def cancel(self, uid: str) -> None:
        await self._call("cancel", uid)

    async def terminate(self, uid: str) -> None:
        await self._call("terminate", uid)

    async def progress(self, uid: str) -> list[ReplicaReport]:
        return list(self.answers.get("progress", ()))

    async def logs(self, uid: str) -> list[ReplicaReport]:
        return list(await self._call("logs", uid) or ())

    async def events(self, uid: str) -> list[Event]:
        return list(await self._call("events", uid) or ())

    async def exchange_metrics(self, supervisor: str, metrics: Any) -> Any:
        sums = await self._call("exchange_metrics", supervisor, metrics)
        # With one supervisor, the sum is what it has told.
        return metrics if sums is None else sums

    async def model_lives(self) -> dict[str, ModelLife]:
        return dict(await self._call("model_lives") or {})

    async def suspect(self, uid: str, replica: str, address: str) -> None:
        await self._call("suspect", uid, replica, address)

    async def _call(self, method: str, *args: Any) -> Any:
        """Answers one call of the protocol by the name of its method."""
        if self.away:
            raise Unavailable("The registry is restarting.", retry_after_s=2)
        if method in ("register", "unregister"):
            return await self._change_families(method, *args)
        if method != "watch":
            # Supervisors exchange what they have counted by themselves, whatever a test does.
            if method != "exchange_metrics":
                self.asked.append((method, *args))
            return self.answers.get(method)
        self.told.append(args[2:])
        async with self._changed:
            await self._changed.wait_for(lambda: self.away or self._table.version != args[0])
        return await self._call(method, *args) if self.away else self._table

    async def tell(self, *routes: ModelStatus) -> None:
        """Let the table be made of these."""
        async with self._changed:
            self._table = table(*routes, version=self._table.version + 1, families=self.families.texts)
            self._changed.notify_all()
        await asyncio.sleep(0.01)

    async def tell_to_stop(self, stops_at: float | None) -> None:
        """Let the cluster be about to stop at this Unix time, or not."""
        async with self._changed:
            self._table = replace(self._table, version=self._table.version + 1, stops_at=stops_at)
            self._changed.notify_all()
        await asyncio.sleep(0.01)

    async def _change_families(self, method: str, what: Any) -> int:
        """What the real registry's shell does; supervisors hear of it a moment after the answer."""
        (self.families.add if method == "register" else self.families.remove)(what)
        asyncio.get_running_loop().call_later(
            0.02, lambda: asyncio.ensure_future(self.tell(*self._table.models.values()))
        )
        return self._table.version + 1

    async def tell_replicas(self, *replicas: ReplicaReport, **facts: Any) -> None:
        """Let there be one model ``m`` with these replicas."""
        await self.tell(model_status(*replicas, **facts))


async def state_of(replica: ReplicaReport) -> dict[str, Any]:
    """What a fake engine has done so far."""
    async with httpx.AsyncClient(verify=False) as http:
        facts: dict[str, Any] = (await http.get(f"{replica.address}/fake/state")).json()
    return facts


async def until(replica: ReplicaReport, deadline_s: float = 2.0, **facts: Any) -> None:
    """Wait until the engine's state has these facts; fail after ``deadline_s`` seconds."""
    end = asyncio.get_running_loop().time() + deadline_s
    while not facts.items() <= (state := await state_of(replica)).items():
        assert asyncio.get_running_loop().time() < end, f"{facts} did not come true: {state}"
        await asyncio.sleep(0.02)
