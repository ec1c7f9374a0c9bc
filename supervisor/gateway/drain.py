"""The data plane's part in the end of a cluster: takes no new request, and ends what is left when the time is over."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from types import TracebackType

from supervisor.background import Background
from supervisor.model_table import LiveTable
from supervisor.registry.client import RegistryClient
from xinfer.errors import Unavailable, cluster_stopping

_log = logging.getLogger("xinfer.gateway")
# For the last event of each stream to go out.
_LAST_WORDS_S = 2.0


class Drain:
    """Knows every request that is under way here."""

    def __init__(self, models: LiveTable, registry: RegistryClient) -> None:
        self._models = models
        self._registry = registry
        self._under_way: set[UnderWay] = set()
        self._one_left = asyncio.Event()
        self._background = Background()

    def start(self) -> None:
        """Begin to wait for the end of the cluster."""
        self._background.spawn(self._run())

    async def stop(self) -> None:
        await self._background.stop()

    def request(self) -> UnderWay:
        """A request that begins, to be entered. Raises ``Unavailable`` if the cluster takes none any more."""
        if self._models.stops_at is not None:
            raise cluster_stopping()
        return UnderWay(self)

    def entered(self, request: UnderWay) -> None:
        self._under_way.add(request)

    def left(self, request: UnderWay) -> None:
        self._under_way.discard(request)
        self._one_left.set()

    async def _run(self) -> None:
        while True:
            await self._models.wait_for_stop(True)
            await self._drain()
            with contextlib.suppress(Unavailable):
                await self._registry.drained(self._models.supervisor_id)
            await self._models.wait_for_stop(False)

    async def _drain(self) -> None:
        deadline = self._models.stops_at or 0.0
        await self._wait_until_empty(deadline - time.time())
        if not self._under_way:
            return

        _log.warning("ending %d requests: the cluster is being stopped", len(self._under_way))
        for request in list(self._under_way):
            request.end()
        await self._wait_until_empty(_LAST_WORDS_S)

    async def _wait_until_empty(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._under_way:
                    self._one_left.clear()
                    await self._one_left.wait()


class UnderWay:
    """One request. ``end`` has its block raise ``Unavailable``, or calls what ``on_end`` was given."""

    __slots__ = ("_drain", "_limit", "_on_end")

    def __init__(self, drain: Drain) -> None:
        self._drain = drain
        self._limit = asyncio.timeout(None)
        self._on_end: Callable[[], None] | None = None

    def on_end(self, end: Callable[[], None]) -> None:
        """From now on ``end`` ends the request: its response has begun, and an exception would cut it off."""
        self._on_end = end

    def end(self) -> None:
        if self._on_end:
            self._on_end()
        else:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def __aenter__(self) -> UnderWay:
        await self._limit.__aenter__()
        self._drain.entered(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._drain.left(self)
        try:
            await self._limit.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise cluster_stopping() from None
