"""Brings models' files to nodes before a replica is decided for, as ``Prewarming`` says."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import ray

from supervisor.nodes.on_node import on_node, open_nodes
from supervisor.registry.autoscaling.prewarming import Fetch, Prewarming
from supervisor.registry.events import Events
from supervisor.registry.models import Models
from xinfer.errors import XinferError
from xinfer.messages import Prefetched
from xinfer.settings import EngineSettings

_log = logging.getLogger("xinfer.registry")
_PERIOD_S = 5.0
_LONGEST_S = 24 * 3600.0


class Prewarmer:
    """Has the nodes' agents do it."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._prewarming = Prewarming()

    async def run(self, models: Models, events: Events, now: Callable[[], float]) -> None:
        """For ever; ``now`` gives Unix time in seconds."""
        async with asyncio.TaskGroup() as fetches:
            while True:
                await asyncio.sleep(_PERIOD_S)
                for fetch in await self._next(models):
                    fetches.create_task(self._fetch(fetch, events, now))

    async def _next(self, models: Models) -> list[Fetch]:
        table = models.table().models
        if not any(model.spec.autoscaling for model in table.values()):
            return []
        try:
            nodes = await asyncio.to_thread(open_nodes)
        except ray.exceptions.RayError as error:
            _log.warning("Ray's nodes are not known now: %s", type(error).__name__)
            return []
        return self._prewarming.next(table, nodes, time.monotonic())

    async def _fetch(self, fetch: Fetch, events: Events, now: Callable[[], float]) -> None:
        uid, address = fetch.spec.uid, fetch.node["NodeManagerAddress"]
        try:
            done: Prefetched = await on_node(fetch.node, "prefetch", fetch.spec, self._settings, timeout_s=_LONGEST_S)
        except XinferError as error:
            done = Prefetched(error=error.message)
        self._prewarming.ended(fetch, time.monotonic(), is_there=not done.error)
        if done.error:
            _log.warning("the files of %s are not on %s yet: %s", uid, address, done.error)
        elif done.fetched_bytes:
            size = f"{done.fetched_bytes / 1e6:.0f} MB in {done.seconds:g} s"
            note = f"Node {address} has the model's files now ({size}), before a replica needs them."
            _log.info("%s: %s", uid, note)
            events.note(uid, note, now())
