"""What is known of replicas: their reports, and the routes made of those."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from xinfer.messages.model import ModelSpec, ModelState


class ReplicaStage(StrEnum):
    """How far a replica's engine has come. ``progress`` of each is where a progress bar stands when it begins."""

    PLACING = "placing"  # Ray looks for a node with the resources
    STARTING = "starting"  # the engine's process is starting
    DOWNLOADING = "downloading"  # weights are on their way from the hub
    LOADING = "loading"  # weights go into memory, the KV cache is laid out
    WARMING_UP = "warming_up"  # the server listens; a first generation is under way
    READY = "ready"  # it has answered
    STOPPED = "stopped"  # ended on purpose
    FAILED = "failed"  # ended otherwise; the report says why

    @property
    def progress(self) -> float:
        """Share of a launch that lies behind a replica at the beginning of this stage, 0 to 1."""
        return _PROGRESS[self]

    @property
    def is_final(self) -> bool:
        """Whether the replica will not come back from here."""
        return self in (ReplicaStage.STOPPED, ReplicaStage.FAILED)


_PROGRESS = {
    ReplicaStage.PLACING: 0.05,
    ReplicaStage.STARTING: 0.15,
    ReplicaStage.DOWNLOADING: 0.3,
    ReplicaStage.LOADING: 0.55,
    ReplicaStage.WARMING_UP: 0.9,
    ReplicaStage.READY: 1.0,
    ReplicaStage.STOPPED: 0.0,
    ReplicaStage.FAILED: 0.0,
}


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """What a worker says of itself to the registry, on every change."""

    model_uid: str
    replica: str
    """Serve's id of the replica; unique over the cluster's life."""
    stage: ReplicaStage
    node: str = ""
    """IP address of the node."""
    address: str | None = None
    """``http://host:port`` of the engine's server, once it listens."""
    pid: int | None = None
    gpu_ids: tuple[str, ...] = ()
    info: str = ""
    """One line for people: what it is doing, or why it failed."""
    context_length: int | None = None
    """What the engine settled on, once it is known."""
    created_at: float = 0.0
    updated_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Route:
    """One model as the supervisors see it."""

    spec: ModelSpec
    state: ModelState
    reason: str = ""
    """Why it is not ready, in a sentence."""
    replicas: tuple[ReplicaReport, ...] = ()

    @property
    def targets(self) -> tuple[ReplicaReport, ...]:
        """The replicas that take requests."""
        return tuple(r for r in self.replicas if r.stage is ReplicaStage.READY and r.address)

    @property
    def is_complete(self) -> bool:
        """Whether as many replicas take requests as were asked for; one is enough for the model to answer."""
        return self.state is ModelState.READY and len(self.targets) >= self.spec.replicas

    @property
    def context_length(self) -> int | None:
        """The shortest context among the replicas, else the one asked for, else the family's."""
        known = [r.context_length for r in self.replicas if r.context_length]
        return min(known) if known else self.spec.context_length or self.spec.usual_context_length


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """All models at one moment. ``version`` grows with every change and never falls, restarts of the registry included."""

    version: int = 0
    routes: dict[str, Route] = field(default_factory=dict)
