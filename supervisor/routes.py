"""The supervisor's own copy of the routing table: pushed by the registry, read without asking anybody."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from supervisor.registry.client import ask
from xinfer.errors import ModelLoading, ModelNotFound, Unavailable
from xinfer.messages import ModelState, ReplicaReport, Route, RoutingTable

_log = logging.getLogger("ray.serve")
_WATCH_S = 30.0
_RETRY_S = 0.5
_SUSPECT_S = 10.0


class Routes:
    """All models as last heard of. While the registry is away, what was last heard goes on being true."""

    def __init__(self) -> None:
        self._table = RoutingTable()
        self._changed = asyncio.Condition()
        self._suspects: dict[str, float] = {}
        self._listeners: list[Callable[[set[str]], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to follow the registry; returns with the first table at hand."""
        self._task = asyncio.create_task(self._follow())
        async with self._changed:
            await self._changed.wait_for(lambda: self._table.version > 0)

    async def stop(self) -> None:
        """Stop following."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def all(self) -> dict[str, Route]:
        """Every model by UID, failed launches included."""
        return self._table.routes

    def get(self, uid: str) -> Route:
        """The model, or ``ModelNotFound``, with the reason if its launch failed."""
        route = self._table.routes.get(uid)
        if route and route.state is ModelState.FAILED:
            raise ModelNotFound(f"The model {uid!r} is not running: its launch failed. {route.reason}", param="model")
        if route is None or route.state is ModelState.TERMINATING:
            raise ModelNotFound(f"There is no model {uid[:100]!r}. GET /v1/models lists what runs.", param="model")
        return route

    def targets(self, uid: str) -> tuple[Route, list[ReplicaReport]]:
        """The model and its reachable replicas; ``ModelLoading`` or ``Unavailable`` if there are none now."""
        route = self.get(uid)
        now = time.monotonic()
        targets = [r for r in route.targets if self._suspects.get(r.replica, 0) < now]
        if targets:
            return route, targets
        if route.targets:
            raise Unavailable(f"No replica of the model {uid!r} can be reached right now.", retry_after_s=2)
        raise ModelLoading(f"The model {uid!r} is still loading.", retry_after_s=5)

    def suspect(self, uid: str, replica: ReplicaReport) -> None:
        """This replica did not take a connection: leave it out for a while and have the registry look."""
        self._suspects = {name: until for name, until in self._suspects.items() if until > time.monotonic()}
        self._suspects[replica.replica] = time.monotonic() + _SUSPECT_S
        task = asyncio.create_task(_report_suspect(uid, replica))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def on_change(self, listener: Callable[[set[str]], None]) -> None:
        """Have ``listener`` called with the names of all replicas there are whenever the table has changed."""
        self._listeners.append(listener)

    async def wait_until(self, condition: Callable[[dict[str, Route]], bool]) -> None:
        """Wait until ``condition`` holds for the table."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self._table.routes))

    async def _follow(self) -> None:
        while True:
            try:
                table = await ask("watch", self._table.version, _WATCH_S)
            except Unavailable:
                _log.warning("the registry is away; going on with the last table")
                await asyncio.sleep(_RETRY_S)
                continue
            async with self._changed:
                self._table = table
                self._changed.notify_all()
            replicas = {report.replica for route in table.routes.values() for report in route.replicas}
            for listener in self._listeners:
                listener(replicas)


async def _report_suspect(uid: str, replica: ReplicaReport) -> None:
    with contextlib.suppress(Unavailable):
        await ask("suspect", uid, replica.replica, replica.address)
