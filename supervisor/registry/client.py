"""How the rest of the supervisor calls the registry: one method per call, and the Ray actor behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import ray

from supervisor.nodes.node_stats import NodeReport
from xinfer.errors import Unavailable
from xinfer.messages import Event, ModelMetrics, ModelSpec, ModelTable, Registration, ReplicaReport, Usage
from xinfer.names import NAMESPACE, REGISTRY


class RegistryClient(Protocol):
    """The registry's methods. Each raises the registry's own errors, and ``Unavailable`` while the registry is away."""

    async def watch(
        self, version: int, timeout_s: float, supervisor: str, usages: Mapping[str, Usage], families_version: int
    ) -> ModelTable:
        """The table as soon as it is newer than ``version``, after ``timeout_s`` seconds at the latest.

        It has the families only if they are of another version than ``families_version``.
        """

    async def launch(self, spec: ModelSpec) -> None:
        """Record ``spec`` and start bringing it up. Raises ``Conflict`` or ``LaunchRefused``."""

    async def register(self, registration: Registration) -> int:
        """Add a family to the catalog; returns the version of the first table that has it. Raises ``FamilyRefused``."""

    async def unregister(self, name: str) -> int:
        """Remove a registered family; returns the version of the first table without it. Raises ``NotFound``."""

    async def scale(self, uid: str, replicas: int) -> None:
        """Set the number of replicas of a ready model. Raises ``Conflict`` or ``LaunchRefused``."""

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

    async def suspect(self, uid: str, replica: str, address: str) -> None:
        """Have the registry check a replica that did not accept a connection."""

    async def node_reports(self) -> dict[str, NodeReport]:
        """The latest measurements of every node, by Ray's node ID. Raises ``Unavailable`` if they cannot be had now."""

    async def drain_cluster(self, timeout_s: float) -> bool:
        """Have all supervisors take no more requests; returns when none has any under way, True, or after the timeout."""

    async def drained(self, supervisor: str) -> None:
        """Report that this supervisor has no requests under way any more."""


class RayRegistryClient:
    """``RegistryClient`` on the registry's Ray actor."""

    async def watch(
        self, version: int, timeout_s: float, supervisor: str, usages: Mapping[str, Usage], families_version: int
    ) -> ModelTable:
        table: ModelTable = await _call("watch", version, timeout_s, supervisor, usages, families_version)
        return table

    async def launch(self, spec: ModelSpec) -> None:
        await _call("launch", spec)

    async def register(self, registration: Registration) -> int:
        version: int = await _call("register", registration)
        return version

    async def unregister(self, name: str) -> int:
        version: int = await _call("unregister", name)
        return version

    async def scale(self, uid: str, replicas: int) -> None:
        await _call("scale", uid, replicas)

    async def sleep(self, uid: str) -> bool:
        sleeps: bool = await _call("sleep", uid)
        return sleeps

    async def wake(self, uid: str) -> str:
        refusal: str = await _call("wake", uid)
        return refusal

    async def cancel(self, uid: str) -> None:
        await _call("cancel", uid)

    async def terminate(self, uid: str) -> None:
        await _call("terminate", uid)

    async def progress(self, uid: str) -> list[ReplicaReport]:
        latest: list[ReplicaReport] = await _call("progress", uid)
        return latest

    async def logs(self, uid: str) -> list[ReplicaReport]:
        reports: list[ReplicaReport] = await _call("logs", uid)
        return reports

    async def events(self, uid: str) -> list[Event]:
        events: list[Event] = await _call("events", uid)
        return events

    async def exchange_metrics(self, supervisor: str, metrics: Mapping[str, ModelMetrics]) -> dict[str, ModelMetrics]:
        sums: dict[str, ModelMetrics] = await _call("exchange_metrics", supervisor, metrics)
        return sums

    async def suspect(self, uid: str, replica: str, address: str) -> None:
        await _call("suspect", uid, replica, address)

    async def node_reports(self) -> dict[str, NodeReport]:
        reports: dict[str, NodeReport] = await _call("node_reports")
        return reports

    async def drain_cluster(self, timeout_s: float) -> bool:
        in_time: bool = await _call("drain_cluster", timeout_s)
        return in_time

    async def drained(self, supervisor: str) -> None:
        await _call("drained", supervisor)


async def _call(method: str, *args: Any) -> Any:
    """Call the actor's ``method``. Ray wraps what it raises: the registry's own error is unwrapped here."""
    try:
        registry: Any = ray.get_actor(REGISTRY, namespace=NAMESPACE)
        return await getattr(registry, method).remote(*args)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except (ValueError, ray.exceptions.RayError):
        raise Unavailable("The registry is restarting; try again in a moment.", retry_after_s=2) from None
