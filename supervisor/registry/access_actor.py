"""The methods of the registry's actor that keys and usage are asked by."""

from __future__ import annotations

from supervisor.registry.access import Access
from supervisor.registry.key_sums import Counted
from xinfer.messages import ApiKey, AuditEntry, KeyChanges, KeyCounts, KeyShare, KeyUpdate, UsageReport, UsageRow


class AccessActor:
    """Part of the registry's actor. Arguments of calls may be seen in Ray's lists, so none of them is a key: only digests."""

    access: Access

    async def watch_keys(self, version: int, timeout_s: float, supervisor: str) -> KeyChanges:
        return await self.access.watch(version, timeout_s, supervisor)

    async def keys(self) -> list[ApiKey]:
        return self.access.keys()

    async def key(self, key_id: str) -> ApiKey:
        return self.access.key(key_id)

    async def needs_admin_key(self) -> bool:
        return self.access.needs_admin()

    async def add_key(self, key: ApiKey) -> ApiKey:
        return await self.access.add(key)

    async def update_key(self, key_id: str, update: KeyUpdate) -> ApiKey:
        return await self.access.update(key_id, update)

    async def rotate_key(self, key_id: str, digest: bytes, former_until: float) -> ApiKey:
        return await self.access.rotate(key_id, digest, former_until)

    async def revoke_key(self, key_id: str, cut_streams: bool) -> ApiKey:
        return await self.access.revoke(key_id, cut_streams)

    async def report_usage(self, report: UsageReport) -> dict[str, KeyShare]:
        return self.access.report(report)

    async def exchange_key_metrics(self, supervisor: str, counted: Counted) -> dict[tuple[str, str], KeyCounts]:
        return self.access.key_sums.exchange(supervisor, counted)

    async def usage_rows(self, since: float, until: float, key_id: str | None) -> list[UsageRow]:
        return self.access.usage(since, until, key_id)

    async def audit(self, entry: AuditEntry) -> None:
        self.access.audit(entry)

    async def audit_entries(self, count: int) -> list[AuditEntry]:
        return self.access.audit_entries(count)
