"""A supervisor's own copy of the keys, pushed by the registry, and its reports of what was used."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Container
from typing import Protocol

from supervisor.access.key_counter import KeyCounter
from supervisor.access.key_ring import KeyRing
from supervisor.access.limits import Limiter
from supervisor.registry.access_client import AccessClient
from xinfer.errors import AuthenticationFailed, Unavailable
from xinfer.messages import ApiKey, AuditEntry, KeyChanges, KeyCounts, Tokens, UsageReport

_log = logging.getLogger("xinfer.gateway")
_WATCH_S = 5.0
_RETRY_S = 0.5
_REPORT_PERIOD_S = 0.5
_AUDIT_TRIES = 20
_LAST_WORDS_S = 1.0


class Countable(Protocol):
    """A request that is under way."""

    def count_so_far(self) -> None:
        """Have ``LiveKeys.count`` told what was used since the last time."""


class LiveKeys:
    """All keys as last heard of. While the registry is away, what was last heard goes on being true.

    What was used is reported twice a second, so that a supervisor that is lost takes no more than that with it.
    """

    def __init__(self, registry: AccessClient, limiter: Limiter, operator: ApiKey | None) -> None:
        self._registry = registry
        self._limiter = limiter
        self.counter = KeyCounter()
        self.ring = KeyRing([operator] if operator else [])
        self._version = 0
        self._id = uuid.uuid4().hex
        self._number = 0
        self._used: dict[tuple[str, str], Tokens] = {}
        self._unsent: UsageReport | None = None
        self._open: set[Countable] = set()
        self._streams: dict[str, set[Callable[[], None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._auditing: set[asyncio.Task[None]] = set()
        self._loaded = asyncio.Event()

    async def start(self) -> None:
        """Begin to follow the registry; returns with the keys at hand."""
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._report_on())]
        await self._loaded.wait()

    async def stop(self) -> None:
        if self._auditing:
            await asyncio.wait(self._auditing, timeout=_LAST_WORDS_S)
        for task in (*self._tasks, *self._auditing):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._auditing, return_exceptions=True)
        with contextlib.suppress(Unavailable):
            # One that is not sent yet, and what has come since.
            await self._report()
            await self._report()

    def follow(self, request: Countable) -> None:
        """Count a request while it goes on."""
        self._open.add(request)

    def forget(self, request: Countable) -> None:
        """That request is over, and has been counted."""
        self._open.discard(request)

    def count(self, key_id: str, model: str, tokens: Tokens) -> None:
        """Add what one request has used."""
        self.counter.used(key_id, model, tokens)
        known = self._used.get((key_id, model))
        if known is None:
            self._used[key_id, model] = tokens
        else:
            known.add(tokens)

    async def key_sums(self, models: Container[str]) -> dict[tuple[str, str], KeyCounts]:
        """What all supervisors have counted by key and model. Raises ``Unavailable``."""
        return await self._registry.exchange_key_metrics(self._id, self.counter.snapshot(models))

    def opened(self, key_id: str, end: Callable[[], None]) -> None:
        """A stream begins, which ``end`` ends: if its key is revoked at once.

        Raises ``AuthenticationFailed`` if that was done since the check.
        """
        key = self.ring.get(key_id)
        if key is not None and key.cut_streams:
            raise AuthenticationFailed("The API key has just been revoked.")
        self._streams.setdefault(key_id, set()).add(end)

    def closed(self, key_id: str, end: Callable[[], None]) -> None:
        """That stream is over."""
        streams = self._streams.get(key_id)
        if streams:
            streams.discard(end)
            if not streams:
                del self._streams[key_id]

    def audit(self, entry: AuditEntry) -> None:
        """Have the registry write a line, as soon as it can."""
        task = asyncio.create_task(self._audit(entry))
        self._auditing.add(task)
        task.add_done_callback(self._auditing.discard)

    def _take(self, changes: KeyChanges) -> None:
        for key in changes.keys:
            known = self.ring.get(key.id)
            if known is not None and known.limits != key.limits:
                self._limiter.change(key, changes.budget_used.get(key.id, 0))
        self.ring.update(changes.keys)
        for key in changes.keys:
            if key.cut_streams:
                for end in list(self._streams.get(key.id, ())):
                    end()

    async def _follow(self) -> None:
        while True:
            try:
                changes = await self._registry.watch_keys(self._version, _WATCH_S, self._id)
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
                continue
            except Exception:  # noqa: BLE001  # the edge: keys have to be revoked, whatever happened once
                _log.exception("the registry could not tell of the keys")
                await asyncio.sleep(_RETRY_S)
                continue
            self._version = changes.version
            self._take(changes)
            self._loaded.set()

    async def _report_on(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_PERIOD_S)
            try:
                await self._report()
            except Unavailable:
                continue
            except Exception:  # noqa: BLE001  # the edge: it is sent again
                _log.exception("usage could not be reported")

    async def _report(self) -> None:
        """Send what has been counted. A report that may have got lost is sent again as it was: it is added once."""
        if self._unsent is None:
            for request in self._open:
                request.count_so_far()
            demand = self._limiter.demand()
            if not self._used and not demand:
                return
            self._number += 1
            self._unsent = UsageReport(self._id, self._number, self._used, demand)
            self._used = {}
        shares = await self._registry.report_usage(self._unsent)
        self._unsent = None
        self._limiter.told(shares)

    async def _audit(self, entry: AuditEntry) -> None:
        for _ in range(_AUDIT_TRIES):
            try:
                await self._registry.audit(entry)
                return
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
        _log.error("an entry of the audit log is lost: %s of %s by key %s", entry.action, entry.target, entry.key)
