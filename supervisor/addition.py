"""Replicas that are being added to a model: whether they are up, by what the table of routes says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xinfer.messages import ModelState, ReplicaReport, Route

Table = Mapping[str, Route]


@dataclass(frozen=True, slots=True)
class Addition:
    """``count`` more replicas for the model that was as ``before``."""

    before: Route
    count: int

    @property
    def total(self) -> int:
        """Replicas that the registry is asked for."""
        return self.before.spec.replicas + self.count

    def is_noted(self, table: Table) -> bool:
        """Whether the table is one from after the registry was asked: by the total, or by what has failed since."""
        route = self._route(table)
        return route is None or route.spec.replicas >= self.total or route.ended != self.before.ended

    def is_settled(self, table: Table) -> bool:
        """Whether there is nothing to wait for any more: they are up, or will not be."""
        route = self._route(table)
        return route is None or self._has_failed(route) or len(route.targets) >= self.total

    def failure(self, table: Table) -> str | None:
        """Why they will not be up, in a sentence; None if they are, or may yet be."""
        route = self._route(table)
        if route is None:
            return f"The model {self.before.spec.uid!r} was terminated meanwhile."
        return route.reason or "The new replicas did not come up." if self._has_failed(route) else None

    def reply(self, table: Table) -> dict[str, Any]:
        """The contract's two shapes, for one and for several. Of a replica that has not begun there is only the number."""
        route = table[self.before.spec.uid]
        new = self._new(route)[: self.count]
        numbers = [*new, *((len(route.replicas) + missing, None) for missing in range(self.count - len(new)))]
        replicas = [
            {
                "replica_id": number,
                "replica_model_uid": f"{route.spec.uid}-rep{number}",
                "worker_address": report.node if report else None,
            }
            for number, report in numbers
        ]
        return replicas[0] if self.count == 1 else {"replica": self.count, "replicas": replicas}

    def _route(self, table: Table) -> Route | None:
        """The model, unless it is gone or another launch has its UID."""
        route = table.get(self.before.spec.uid)
        return route if route and route.spec.created_at == self.before.spec.created_at else None

    def _has_failed(self, route: Route) -> bool:
        return route.state is not ModelState.READY or route.spec.replicas < self.total

    def _new(self, route: Route) -> list[tuple[int, ReplicaReport]]:
        """The replicas that were not there before, each with its number."""
        old = {report.replica for report in self.before.replicas}
        return [(number, report) for number, report in enumerate(route.replicas) if report.replica not in old]
