"""Replicas that are being added to a model, and whether they are up by the table of models."""

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
        return self.before.desired + self.count

    def is_noted(self, table: Table) -> bool:
        """Whether the table is one from after the registry was asked: by the total, or by what has failed since."""
        model = self._model(table)
        return model is None or model.desired >= self.total or model.ended != self.before.ended

    def is_settled(self, table: Table) -> bool:
        """Whether there is nothing to wait for any more: they are up, or will not be."""
        model = self._model(table)
        return model is None or self._has_failed(model) or len(model.targets) >= self.total

    def failure(self, table: Table) -> str | None:
        """Why they will not be up, in a sentence; None if they are, or may yet be."""
        model = self._model(table)
        if model is None:
            return f"The model {self.before.spec.uid!r} was terminated meanwhile."
        if self._has_failed(model):
            return model.reason or "The new replicas did not come up."
        return None

    def reply(self, table: Table) -> dict[str, Any]:
        """The response body: one replica, or their count and list. A replica that has not started has a number only."""
        model = table[self.before.spec.uid]
        replicas = []
        for number, report in self._new(model)[: self.count]:
            replicas.append(_view(model, number, report.node))

        first = len(model.replicas)
        not_started = self.count - len(replicas)
        replicas.extend(_view(model, number, None) for number in range(first, first + not_started))

        if self.count == 1:
            return replicas[0]
        return {"replica": self.count, "replicas": replicas}

    def _model(self, table: Table) -> ModelStatus | None:
        """The model, unless it is gone or another launch has its UID."""
        model = table.get(self.before.spec.uid)
        if model and model.spec.created_at == self.before.spec.created_at:
            return model
        return None

    def _has_failed(self, model: ModelStatus) -> bool:
        return model.state is not ModelState.READY or model.desired < self.total

    def _new(self, model: ModelStatus) -> list[tuple[int, ReplicaReport]]:
        """The replicas that were not there before, each with its number."""
        old = {report.replica for report in self.before.replicas}
        return [(number, report) for number, report in enumerate(model.replicas) if report.replica not in old]


def _view(model: ModelStatus, number: int, address: str | None) -> dict[str, Any]:
    return {
        "replica_id": number,
        "replica_model_uid": f"{model.spec.uid}-rep{number}",
        "worker_address": address,
    }
