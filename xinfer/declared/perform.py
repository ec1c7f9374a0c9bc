"""Carries out a plan through a client: first what frees resources, then launches, each followed until it is ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from xinfer.declared.plan import Action, Plan, Running, Step
from xinfer.errors import ModelNotFound, XinferError


class Client(Protocol):
    """What of ``RESTfulClient`` is used."""

    def get_instance_info(
        self, model_name: str | None = None, model_uid: str | None = None
    ) -> list[dict[str, Any]]: ...
    def launch_model(self, *, model_name: str, **fields: Any) -> str: ...
    def terminate_model(self, model_uid: str) -> None: ...
    def add_model_replica(self, model_uid: str, *, replica: int, wait_ready: bool) -> dict[str, Any]: ...
    def terminate_model_replica(self, model_uid: str, replica_id: int) -> int: ...


@dataclass(slots=True)
class Outcome:
    """What came of a plan."""

    done: list[Step] = field(default_factory=list)
    failed: list[tuple[Step, XinferError]] = field(default_factory=list)


class Performer:
    """``follow`` returns when the model of a UID is ready, and raises if its launch fails; without it nothing is waited for."""

    def __init__(self, client: Client, follow: Callable[[str], None] | None = None) -> None:
        self._client = client
        self._follow = follow

    def running(self) -> list[Running]:
        """What the cluster has."""
        return [Running.read(instance) for instance in self._client.get_instance_info()]

    def perform(self, plan: Plan) -> Outcome:
        """Do every step, also after one has failed. Models that were launched by hand are left as they are."""
        outcome = Outcome()
        managed = [step for step in plan.steps if step.action is not Action.UNMANAGED]
        begun = [step for step in managed if self._attempt(self._begin, step, outcome)]
        outcome.done += [step for step in begun if self._attempt(self._finish, step, outcome)]
        return outcome

    def _attempt(self, work: Callable[[Step], None], step: Step, outcome: Outcome) -> bool:
        try:
            work(step)
        except XinferError as error:
            outcome.failed.append((step, error))
            return False
        return True

    def _begin(self, step: Step) -> None:
        match step.action:
            case Action.LAUNCH:
                self._launch(step)
            case Action.RELAUNCH:
                self._terminate(step.uid)
                self._launch(step)
            case Action.TERMINATE:
                self._terminate(step.uid)
            case Action.SCALE:
                self._scale(step)
            case Action.KEEP | Action.UNMANAGED:
                return

    def _finish(self, step: Step) -> None:
        # A model that is kept may be on its way up still.
        if self._follow and step.action is not Action.TERMINATE:
            self._follow(step.uid)

    def _launch(self, step: Step) -> None:
        assert step.model is not None
        self._client.launch_model(**step.model.launch_fields(), wait_ready=False)

    def _terminate(self, uid: str) -> None:
        try:
            self._client.terminate_model(uid)
        except ModelNotFound:
            # Gone already, as it should be.
            return

    def _scale(self, step: Step) -> None:
        assert step.model is not None
        more = (step.model.replica or step.replicas) - step.replicas
        if more > 0:
            self._client.add_model_replica(step.uid, replica=more, wait_ready=self._follow is not None)
        for _ in range(-more):
            self._client.terminate_model_replica(step.uid, 0)
