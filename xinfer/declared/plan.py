"""What has to be done so that the declared models run: a comparison, without a client or a clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from xinfer.declared.file import DeclaredModel

_ENDED = ("ERROR", "TERMINATED")
_READY = "READY"
_TERMINATING = "TERMINATING"


class Action(StrEnum):
    """What becomes of a model."""

    LAUNCH = "launch"  # it does not run, or its last launch failed
    RELAUNCH = "relaunch"  # terminated and launched again: something changed that an engine takes only at its start
    SCALE = "scale"  # replicas come or go, the others go on
    TERMINATE = "terminate"  # an earlier file declared it and this one does not
    KEEP = "keep"
    UNMANAGED = "unmanaged"  # it runs, but was launched by hand, so that nobody knows whether it is as declared


@dataclass(frozen=True, slots=True)
class Running:
    """A model of the cluster, as far as a plan needs to know it."""

    uid: str
    status: str
    """Of ``GET /v1/models/instances``."""
    replicas: int
    declaration: Mapping[str, Any] | None = None
    """What it was launched with, if that was declared."""
    reason: str | None = None

    @classmethod
    def read(cls, instance: Mapping[str, Any]) -> Running:
        """One item of ``GET /v1/models/instances``."""
        return cls(
            uid=str(instance["model_uid"]),
            status=str(instance["status"]),
            replicas=int(instance["replica"]),
            declaration=instance.get("declaration"),
            reason=instance.get("reason"),
        )


@dataclass(frozen=True, slots=True)
class Change:
    """A field whose value changes; None is unset."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done about one model."""

    uid: str
    action: Action
    model: DeclaredModel | None = None
    """None for a model that the file does not have."""
    changes: tuple[Change, ...] = ()
    replicas: int = 0
    """How many it has now."""
    note: str = ""

    @property
    def interrupts(self) -> bool:
        """Whether requests to the model fail meanwhile."""
        return self.action in (Action.RELAUNCH, Action.TERMINATE)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they are done: what frees GPUs comes before what needs them."""

    steps: tuple[Step, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the cluster is as declared."""
        return all(step.action is Action.KEEP for step in self.steps)

    def of(self, *actions: Action) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.action in actions)


def make_plan(
    declared: Sequence[DeclaredModel], running: Iterable[Running], *, prune: bool = False, adopt: bool = False
) -> Plan:
    """Compare. ``prune`` terminates what an earlier file declared; ``adopt`` relaunches what was launched by hand."""
    known = {each.uid: each for each in running}
    steps = [_step(model, known.get(model.uid), adopt=adopt) for model in declared]
    if prune:
        names = {model.uid for model in declared}
        gone = [each for uid, each in known.items() if uid not in names and each.declaration is not None]
        steps += [_removed(each) for each in gone]
    return Plan(tuple(sorted(steps, key=_order)))


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """The fields in which two declarations differ, those of fields with names of their own one by one."""
    old, new = _flat(before), _flat(after)
    names = sorted(old.keys() | new.keys())
    return tuple(Change(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))


def _step(model: DeclaredModel, running: Running | None, *, adopt: bool) -> Step:
    if running is None:
        return Step(model.uid, Action.LAUNCH, model)
    if running.status in _ENDED:
        return Step(model.uid, Action.LAUNCH, model, note=_after(running))
    if running.status == _TERMINATING:
        return Step(model.uid, Action.RELAUNCH, model, note="it is being terminated", replicas=running.replicas)
    if running.declaration is None:
        action = Action.RELAUNCH if adopt else Action.UNMANAGED
        return Step(model.uid, action, model, note="it was launched by hand", replicas=running.replicas)
    return _of_declared(model, running, running.declaration)


def _of_declared(model: DeclaredModel, running: Running, before: Mapping[str, Any]) -> Step:
    found = changes(_without_replicas(before), _without_replicas(model.declaration()))
    scaled: tuple[Change, ...] = ()
    follows_load = model.autoscaling_config is not None
    if model.replica is not None and not follows_load and model.replica != running.replicas:
        scaled = (Change("replica", running.replicas, model.replica),)
    if found:
        return Step(model.uid, Action.RELAUNCH, model, found + scaled, running.replicas)
    if not scaled:
        return Step(model.uid, Action.KEEP, model, replicas=running.replicas)
    if running.status == _READY:
        return Step(model.uid, Action.SCALE, model, scaled, running.replicas)
    # Only a model that is up can be scaled. One that sleeps or is on its way up serves nobody who would notice.
    return Step(model.uid, Action.RELAUNCH, model, scaled, running.replicas, note=f"it is {running.status.lower()}")


def _after(running: Running) -> str:
    if running.reason:
        return f"its last launch failed: {running.reason}"
    return "its last launch failed or was cancelled"


def _removed(running: Running) -> Step:
    return Step(running.uid, Action.TERMINATE, replicas=running.replicas)


def _without_replicas(declaration: Mapping[str, Any]) -> dict[str, Any]:
    # Replicas are compared with how many there are, which may have been changed since.
    return {name: value for name, value in declaration.items() if name != "replica"}


def _flat(declaration: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in declaration.items():
        if name in ("envs", "engine_args", "autoscaling_config") and isinstance(value, Mapping):
            flat |= {f"{name}.{key}": each for key, each in value.items()}
        else:
            flat[name] = value
    return flat


def _order(step: Step) -> int:
    """Sorting is stable: equals stay in the order of the file."""
    is_smaller = step.model is not None and (step.model.replica or 0) < step.replicas
    match step.action:
        case Action.KEEP | Action.UNMANAGED:
            return 0
        case Action.TERMINATE:
            return 1
        case Action.SCALE if is_smaller:
            return 2
        case Action.RELAUNCH:
            return 3
        case _:
            return 4
