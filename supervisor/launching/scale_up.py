"""Replicas that are being added to a model: whether they are up, by what the table of routes says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xinfer.messages import ModelState, ModelStatus, ReplicaReport

Table = Mapping[str, ModelStatus]


@dataclass(frozen=True, slots=True)
class ScaleUp:
    """``count`` more replicas for the model that was as ``before``."""

    before: ModelStatus
    count: int

    @property
    def total(self) -> int:
        """Replicas that the registry is asked for."""
        return self.before.spec.replicas + self.count

    def is_noted(self, table: Table) -> bool:
        """Whether the table is one from after the registry was asked: by the total, or by what has failed since."""
        model = self._route(table)
        return model is None or model.spec.replicas >= self.total or model.ended != self.before.ended

    def is_settled(self, table: Table) -> bool:
        """Whether there is nothing to wait for any more: they are up, or will not be."""
        model = self._route(table)
        return model is None or self._has_failed(model) or len(model.targets) >= self.total

    def failure(self, table: Table) -> str | None:
        """Why they will not be up, in a sentence; None if they are, or may yet be."""
        model = self._route(table)
        if model is None:
            return f"The model {self.before.spec.uid!r} was terminated meanwhile."
        if self._has_failed(model):
            return model.reason or "The new replicas did not come up."
        return None

    def reply(self, table: Table) -> dict[str, Any]:
        """The contract's two shapes, for one and for several. Of a replica that has not begun there is only the number."""
        model = table[self.before.spec.uid]
        new = self._new(model)[: self.count]
        numbers = [*new, *((len(model.replicas) + missing, None) for missing in range(self.count - len(new)))]
        replicas = [
            {
                "replica_id": number,
                "replica_model_uid": f"{model.spec.uid}-rep{number}",
                "worker_address": report.node if report else None,
            }
            for number, report in numbers
        ]
        if self.count == 1:
            return replicas[0]
        return {"replica": self.count, "replicas": replicas}

    def _route(self, table: Table) -> ModelStatus | None:
        """The model, unless it is gone or another launch has its UID."""
        model = table.get(self.before.spec.uid)
        if model and model.spec.created_at == self.before.spec.created_at:
            return model
        return None

    def _has_failed(self, model: ModelStatus) -> bool:
        return model.state is not ModelState.READY or model.spec.replicas < self.total

    def _new(self, model: ModelStatus) -> list[tuple[int, ReplicaReport]]:
        """The replicas that were not there before, each with its number."""
        old = {report.replica for report in self.before.replicas}
        return [(number, report) for number, report in enumerate(model.replicas) if report.replica not in old]
