"""The registry's part in keys: their records, what was used with them, and the audit log."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from supervisor.registry.access_store import AccessStore
from supervisor.registry.audit_log import AuditLog
from supervisor.registry.key_book import KeyBook
from supervisor.registry.key_sums import KeySums
from supervisor.registry.shares import Shares
from supervisor.registry.table_readers import TableReaders
from xinfer.messages import ApiKey, AuditEntry, KeyChanges, KeyShare, KeyUpdate, UsageReport, UsageRow

HOUR_S = 3600
_DAY_S = 86400


class Access:
    """What keys there are and what was used with them, in files below ``home``. ``now`` gives Unix time."""

    def __init__(self, home: Path, usage_days: int, now: Callable[[], float] = time.time) -> None:
        self._store = AccessStore(home / "access.sqlite")
        self._audit = AuditLog(home / "audit.jsonl")
        self._usage_days = usage_days
        self._now = now
        self._keys = KeyBook(self._store.load_keys(), version=time.time_ns())
        self._changed = asyncio.Condition()
        self._readers = TableReaders()
        self._shares = Shares()
        self.key_sums = KeySums()
        self._hour = 0
        self._used: dict[int, dict[str, int]] = {}
        """Tokens by key since the beginning of each period."""

    async def watch(self, version: int, timeout_s: float, supervisor: str = "") -> KeyChanges:
        """The keys that have changed after ``version``, as soon as there are any, at the latest after ``timeout_s``.

        A ``supervisor`` says with it that it acts on the keys of ``version``.
        """
        if supervisor:
            await self._readers.hear(supervisor, version)
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait_for(lambda: self._keys.version != version)
        changes = self._keys.changes(version)
        now = self._now()
        budgets = [key.id for key in changes.keys if key.limits.budget_tokens is not None]
        return replace(changes, budget_used={key_id: self._budget_used(key_id, now) for key_id in budgets})

    def keys(self) -> list[ApiKey]:
        return self._keys.all()

    def key(self, key_id: str) -> ApiKey:
        return self._keys.get(key_id)

    def needs_admin(self) -> bool:
        """Whether nobody has a valid admin key."""
        return not self._keys.has_admin(self._now())

    async def add(self, key: ApiKey) -> ApiKey:
        return await self._save(self._keys.add(key))

    async def update(self, key_id: str, update: KeyUpdate) -> ApiKey:
        return await self._save(self._keys.update(key_id, update))

    async def rotate(self, key_id: str, digest: bytes, former_until: float) -> ApiKey:
        return await self._save(self._keys.rotate(key_id, digest, former_until))

    async def revoke(self, key_id: str, cut_streams: bool) -> ApiKey:
        return await self._save(self._keys.revoke(key_id, self._now(), cut_streams=cut_streams))

    def report(self, report: UsageReport) -> dict[str, KeyShare]:
        """Add what a supervisor has counted; returns what it is to know of the keys that it has seen."""
        now = self._now()
        if report.used:
            hour = int(now) // HOUR_S * HOUR_S
            if hour != self._hour:
                self._hour = hour
                self._store.forget_usage(hour - self._usage_days * _DAY_S, now)
            if self._store.add_usage(report.supervisor, report.number, hour, report.used, now):
                self._add_to_sums(report)
        self._shares.hear(report.supervisor, report.demand, now)
        told: dict[str, KeyShare] = {}
        for key_id in report.demand:
            share = self._shares.of(key_id, report.supervisor, now)
            told[key_id] = KeyShare(self._budget_used(key_id, now), share)
        return told

    def usage(self, since: float, until: float, key_id: str | None) -> list[UsageRow]:
        """What was used in the hours from ``since`` to ``until``; of one key, or of all."""
        first = int(since) // HOUR_S * HOUR_S
        return self._store.usage(first, int(until) + 1, key_id)

    def audit(self, entry: AuditEntry) -> None:
        self._audit.add(entry)

    def audit_entries(self, count: int) -> list[AuditEntry]:
        return self._audit.last(count)

    async def _save(self, key: ApiKey) -> ApiKey:
        self._store.save_key(key)
        async with self._changed:
            self._changed.notify_all()
        # The next request with this key may reach another supervisor.
        await self._readers.reach_all(self._keys.version)
        return key

    def _budget_used(self, key_id: str, now: float) -> int:
        key = self._keys.find(key_id)
        if key is None or key.limits.budget_tokens is None:
            return 0
        return self._sums(_beginning(key.limits.budget_period, now)).get(key_id, 0)

    def _sums(self, beginning: int) -> dict[str, int]:
        if beginning not in self._used:
            # Those of days and months that are over are asked for no more.
            self._used = {since: sums for since, sums in self._used.items() if since > beginning - 31 * _DAY_S}
            self._used[beginning] = self._store.tokens_since(beginning)
        return self._used[beginning]

    def _add_to_sums(self, report: UsageReport) -> None:
        for sums in self._used.values():
            for (key_id, _), tokens in report.used.items():
                sums[key_id] = sums.get(key_id, 0) + tokens.prompt + tokens.completion


def _beginning(period: str, now: float) -> int:
    """Unix time of the midnight, UTC, at which the day or month of ``now`` began."""
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "month":
        day = day.replace(day=1)
    return int(day.timestamp())
