"""How the rest of the supervisor calls the registry: one method per call, and the Ray actor behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import ray

from xinfer.errors import Unavailable
from xinfer.messages import (
    AutoscalingConfig,
    ClusterLoad,
    Event,
    ModelLife,
    ModelMetrics,
    ModelSpec,
    ModelTable,
    NodeReport,
    Registration,
    ReplicaReport,
    ScalingStatus,
    SupervisorLoad,
    Usage,
)
from xinfer.names import NAMESPACE, REGISTRY


class RegistryClient(Protocol):
    """The registry's methods. Each raises the registry's own errors, and ``Unavailable`` while the registry is away."""

    async def watch(
        self, version: int, timeout_s: float, supervisor: str, usages: Mapping[str, Usage], families_version: int
    ) -> ModelTable:
        """The table as soon as it is newer than ``version``, after ``timeout_s`` seconds at the latest.

        It has the families only if they are of another version than ``families_version``.
        """

    async def reach_all(self, version: int) -> None:
        """Return when every supervisor acts on the table of ``version`` or a later one, after a second at the latest."""

    async def launch(self, spec: ModelSpec) -> None:
        """Record ``spec`` and start bringing it up. Raises ``Conflict`` or ``LaunchRefused``."""

    async def register(self, registration: Registration) -> int:
        """Add a family to the catalog; returns the version of the first table that has it. Raises ``FamilyRefused``."""

    async def unregister(self, name: str) -> int:
        """Remove a registered family; returns the version of the first table without it. Raises ``NotFound``."""

    async def scale(self, uid: str, replicas: int) -> None:
        """Set the number of replicas of a ready model. Raises ``Conflict`` or ``LaunchRefused``."""

    async def autoscale(self, uid: str, autoscaling: AutoscalingConfig | None, idle_timeout_s: float | None) -> None:
        """Have a model's replicas follow its load in this way, or not at all. Raises ``ModelNotFound``."""

    async def scaling(self, uid: str) -> ScalingStatus:
        """How a model is scaled, and the last decisions. Raises ``ModelNotFound``."""

    async def report_load(self, supervisor: str, version: int, loads: Mapping[str, SupervisorLoad]) -> None:
        """Report what this supervisor, which acts on the table of ``version``, has to do for models that are scaled."""

    async def exchange_loads(
        self, supervisor: str, in_flight: Mapping[str, int], moved: Sequence[tuple[int, str]]
    ) -> ClusterLoad:
        """Report what is in flight from this supervisor, by replica, and the conversations that it has given elsewhere.

        Returns what all supervisors have in flight together, and what the others have given elsewhere since the last call.
        """

    async def sleep(self, uid: str) -> bool:
        """Have a ready model sleep; returns whether it does, False if it is in use. Raises ``Conflict`` if it is not ready."""

    async def wake(self, uid: str) -> str:
        """Start a sleeping model; returns an empty string, or why it stays asleep."""

    async def cancel(self, uid: str) -> None:
        """Cancel a launch that is under way; returns when its replicas are gone. Raises ``Conflict`` if it is ready."""

    async def terminate(self, uid: str) -> None:
        """Terminate a model; returns when its replicas are gone."""

    async def progress(self, uid: str) -> list[ReplicaReport]:
        """The latest reports of a model's replicas, with their downloads; empty if it is unknown."""

    async def logs(self, uid: str) -> list[ReplicaReport]:
        """The replicas whose engine logs exist: live ones, and the last one that failed."""

    async def events(self, uid: str) -> list[Event]:
        """The latest events of a model, oldest first; empty if nothing is known of it."""

    async def exchange_metrics(self, supervisor: str, metrics: Mapping[str, ModelMetrics]) -> dict[str, ModelMetrics]:
        """Report what this supervisor has counted; returns the sums over all supervisors, by model UID."""

    async def model_lives(self) -> dict[str, ModelLife]:
        """What has happened to the models there are, in numbers, by UID."""

    async def suspect(self, uid: str, replica: str, address: str) -> None:
        """Have the registry check a replica that did not accept a connection."""

    async def node_reports(self) -> dict[str, NodeReport]:
        """The latest report of every node, by Ray's node ID. Raises ``Unavailable`` if they cannot be had now."""

    async def drain_cluster(self, timeout_s: float) -> bool:
        """Have all supervisors take no more requests; returns when none has any under way, True, or after the timeout."""

    async def drained(self, supervisor: str) -> None:
        """Report that this supervisor has no requests under way any more."""


class RayRegistryClient:
    """``RegistryClient`` on the registry's Ray actor."""

    async def watch(
        self, version: int, timeout_s: float, supervisor: str, usages: Mapping[str, Usage], families_version: int
    ) -> ModelTable:
        table: ModelTable = await call_registry("watch", version, timeout_s, supervisor, usages, families_version)
        return table

    async def reach_all(self, version: int) -> None:
        await call_registry("reach_all", version)

    async def launch(self, spec: ModelSpec) -> None:
        await call_registry("launch", spec)

    async def register(self, registration: Registration) -> int:
        version: int = await call_registry("register", registration)
        return version

    async def unregister(self, name: str) -> int:
        version: int = await call_registry("unregister", name)
        return version

    async def scale(self, uid: str, replicas: int) -> None:
        await call_registry("scale", uid, replicas)

    async def autoscale(self, uid: str, autoscaling: AutoscalingConfig | None, idle_timeout_s: float | None) -> None:
        await call_registry("autoscale", uid, autoscaling, idle_timeout_s)

    async def scaling(self, uid: str) -> ScalingStatus:
        status: ScalingStatus = await call_registry("scaling", uid)
        return status

    async def report_load(self, supervisor: str, version: int, loads: Mapping[str, SupervisorLoad]) -> None:
        await call_registry("report_load", supervisor, version, loads)

    async def exchange_loads(
        self, supervisor: str, in_flight: Mapping[str, int], moved: Sequence[tuple[int, str]]
    ) -> ClusterLoad:
        load: ClusterLoad = await call_registry("exchange_loads", supervisor, in_flight, moved)
        return load

    async def sleep(self, uid: str) -> bool:
        sleeps: bool = await call_registry("sleep", uid)
        return sleeps

    async def wake(self, uid: str) -> str:
        refusal: str = await call_registry("wake", uid)
        return refusal

    async def cancel(self, uid: str) -> None:
        await call_registry("cancel", uid)

    async def terminate(self, uid: str) -> None:
        await call_registry("terminate", uid)

    async def progress(self, uid: str) -> list[ReplicaReport]:
        latest: list[ReplicaReport] = await call_registry("progress", uid)
        return latest

    async def logs(self, uid: str) -> list[ReplicaReport]:
        reports: list[ReplicaReport] = await call_registry("logs", uid)
        return reports

    async def events(self, uid: str) -> list[Event]:
        events: list[Event] = await call_registry("events", uid)
        return events

    async def exchange_metrics(self, supervisor: str, metrics: Mapping[str, ModelMetrics]) -> dict[str, ModelMetrics]:
        sums: dict[str, ModelMetrics] = await call_registry("exchange_metrics", supervisor, metrics)
        return sums

    async def model_lives(self) -> dict[str, ModelLife]:
        lives: dict[str, ModelLife] = await call_registry("model_lives")
        return lives

    async def suspect(self, uid: str, replica: str, address: str) -> None:
        await call_registry("suspect", uid, replica, address)

    async def node_reports(self) -> dict[str, NodeReport]:
        reports: dict[str, NodeReport] = await call_registry("node_reports")
        return reports

    async def drain_cluster(self, timeout_s: float) -> bool:
        in_time: bool = await call_registry("drain_cluster", timeout_s)
        return in_time

    async def drained(self, supervisor: str) -> None:
        await call_registry("drained", supervisor)


async def call_registry(method: str, *args: Any) -> Any:
    """Call the actor's ``method``. Ray wraps what it raises: the registry's own error is unwrapped here."""
    try:
        registry: Any = ray.get_actor(REGISTRY, namespace=NAMESPACE)
        return await registry.call.remote(method, *args)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except (ValueError, ray.exceptions.RayError):
        raise Unavailable("The registry is restarting; try again in a moment.", retry_after_s=2) from None
