"""How supervisors call the registry about keys and usage."""

from __future__ import annotations

from typing import Protocol

from supervisor.registry.client import call_registry
from supervisor.registry.key_sums import Counted
from xinfer.messages import ApiKey, AuditEntry, KeyChanges, KeyCounts, KeyShare, KeyUpdate, UsageReport, UsageRow


class AccessClient(Protocol):
    """The registry's methods. Each raises the registry's own errors, and ``Unavailable`` while the registry is away."""

    async def watch_keys(self, version: int, timeout_s: float, supervisor: str) -> KeyChanges:
        """The keys that have changed after ``version``, as soon as there are any, after ``timeout_s`` at the latest."""

    async def keys(self) -> list[ApiKey]:
        """Every key, oldest first, revoked ones included."""

    async def key(self, key_id: str) -> ApiKey:
        """The key with this id or name. Raises ``NotFound``."""

    async def add_key(self, key: ApiKey) -> ApiKey:
        """Record a new key. Raises ``Conflict`` if its name is taken."""

    async def update_key(self, key_id: str, update: KeyUpdate) -> ApiKey:
        """Change a key. Raises ``NotFound``, or ``Conflict`` if it is revoked or its new name is taken."""

    async def rotate_key(self, key_id: str, digest: bytes, former_until: float) -> ApiKey:
        """Give a key another text. Raises ``NotFound`` or ``Conflict``."""

    async def revoke_key(self, key_id: str, cut_streams: bool) -> ApiKey:
        """Make a key invalid. Raises ``NotFound``."""

    async def report_usage(self, report: UsageReport) -> dict[str, KeyShare]:
        """Report what this supervisor has counted; returns what it is to know of the limited keys among them."""

    async def exchange_key_metrics(self, supervisor: str, counted: Counted) -> dict[tuple[str, str], KeyCounts]:
        """Report what this supervisor has counted by key and model; returns the sums over all supervisors."""

    async def usage_rows(self, since: float, until: float, key_id: str | None) -> list[UsageRow]:
        """What was used, by hour, key and model."""

    async def audit(self, entry: AuditEntry) -> None:
        """Add a line to the audit log."""

    async def audit_entries(self, count: int) -> list[AuditEntry]:
        """The latest lines of the audit log, oldest first."""


class RayAccessClient:
    """``AccessClient`` on the registry's Ray actor."""

    async def watch_keys(self, version: int, timeout_s: float, supervisor: str) -> KeyChanges:
        changes: KeyChanges = await call_registry("watch_keys", version, timeout_s, supervisor)
        return changes

    async def keys(self) -> list[ApiKey]:
        keys: list[ApiKey] = await call_registry("keys")
        return keys

    async def key(self, key_id: str) -> ApiKey:
        key: ApiKey = await call_registry("key", key_id)
        return key

    async def add_key(self, key: ApiKey) -> ApiKey:
        added: ApiKey = await call_registry("add_key", key)
        return added

    async def update_key(self, key_id: str, update: KeyUpdate) -> ApiKey:
        key: ApiKey = await call_registry("update_key", key_id, update)
        return key

    async def rotate_key(self, key_id: str, digest: bytes, former_until: float) -> ApiKey:
        key: ApiKey = await call_registry("rotate_key", key_id, digest, former_until)
        return key

    async def revoke_key(self, key_id: str, cut_streams: bool) -> ApiKey:
        key: ApiKey = await call_registry("revoke_key", key_id, cut_streams)
        return key

    async def report_usage(self, report: UsageReport) -> dict[str, KeyShare]:
        shares: dict[str, KeyShare] = await call_registry("report_usage", report)
        return shares

    async def exchange_key_metrics(self, supervisor: str, counted: Counted) -> dict[tuple[str, str], KeyCounts]:
        sums: dict[tuple[str, str], KeyCounts] = await call_registry("exchange_key_metrics", supervisor, counted)
        return sums

    async def usage_rows(self, since: float, until: float, key_id: str | None) -> list[UsageRow]:
        rows: list[UsageRow] = await call_registry("usage_rows", since, until, key_id)
        return rows

    async def audit(self, entry: AuditEntry) -> None:
        await call_registry("audit", entry)

    async def audit_entries(self, count: int) -> list[AuditEntry]:
        entries: list[AuditEntry] = await call_registry("audit_entries", count)
        return entries
