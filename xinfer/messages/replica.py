"""What is known of replicas: their reports, and the status of models made of those."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from xinfer.messages.model import ModelSpec, ModelState


class ReplicaStage(StrEnum):
    """How far a replica's engine has come. ``progress`` of each is where a progress bar stands when it begins."""

    PENDING = "pending"  # recorded, nothing done yet
    PLACING = "placing"  # Ray looks for a node with the resources
    DOWNLOADING = "downloading"  # weights are on their way from the hub
    STARTING = "starting"  # the engine's process is starting
    LOADING = "loading"  # weights go into memory, the KV cache is laid out
    WARMING_UP = "warming_up"  # the server listens; a first generation is under way
    READY = "ready"  # it has answered
    STOPPED = "stopped"  # ended on purpose
    FAILED = "failed"  # ended otherwise; the report says why
    CANCELLED = "cancelled"  # the launch was given up by whoever asked for it

    @property
    def progress(self) -> float:
        """Share of a launch that lies behind a replica at the beginning of this stage, 0 to 1."""
        return _PROGRESS[self]

    @property
    def is_final(self) -> bool:
        """Whether the replica will not come back from here."""
        return self in (ReplicaStage.STOPPED, ReplicaStage.FAILED, ReplicaStage.CANCELLED)


_PROGRESS = {
    ReplicaStage.PENDING: 0.0,
    ReplicaStage.PLACING: 0.02,
    ReplicaStage.DOWNLOADING: 0.1,
    ReplicaStage.STARTING: 0.5,
    ReplicaStage.LOADING: 0.6,
    ReplicaStage.WARMING_UP: 0.9,
    ReplicaStage.READY: 1.0,
    ReplicaStage.STOPPED: 0.0,
    ReplicaStage.FAILED: 0.0,
    ReplicaStage.CANCELLED: 0.0,
}


@dataclass(frozen=True, slots=True)
class StageTime:
    """When a stage began; it lasted until the next one did."""

    stage: ReplicaStage
    began_at: float
    """Unix time in seconds."""


@dataclass(frozen=True, slots=True)
class DownloadState:
    """How far the download of a model's files is."""

    bytes_done: int = 0
    bytes_total: int = 0
    """0 while it is not known."""
    bytes_per_s: float = 0.0
    """Over the last few seconds."""
    files_done: int = 0
    files_total: int = 0


@dataclass(frozen=True, slots=True)
class FollowerReport:
    """A worker of a replica that spans nodes, other than the one that reports."""

    rank: int
    """From 1 on; the worker that reports has rank 0."""
    node: str = ""
    """IP address of the node; empty while it has none."""
    stage: ReplicaStage = ReplicaStage.PLACING
    pid: int | None = None
    """Of its part of the engine."""
    gpu_ids: tuple[str, ...] = ()
    info: str = ""
    """Why it failed, in a sentence."""
    download: DownloadState | None = None
    log: str = ""
    """Path of its part of the engine's log on that node."""


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
    download: DownloadState | None = None
    """Set from the stage of downloading on, if anything had to be downloaded."""
    log: str = ""
    """Path of the engine's log on that node."""
    times: tuple[StageTime, ...] = ()
    """The stages it has been through, in order, the present one last."""
    created_at: float = 0.0
    updated_at: float = 0.0
    followers: tuple[FollowerReport, ...] = ()
    """The other workers of a replica that spans nodes."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The addresses of all its nodes, as far as they are known, the one with the engine's server first."""
        return tuple(filter(None, (self.node, *(follower.node for follower in self.followers))))


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model as the supervisors see it."""

    spec: ModelSpec
    state: ModelState
    reason: str = ""
    """Why it is not ready, in a sentence."""
    replicas: tuple[ReplicaReport, ...] = ()
    times: tuple[StageTime, ...] = ()
    """The launch as a whole: when it became pending, was placed, and ended (ready, failed or cancelled)."""
    waking: bool = False
    """Whether it is on its way up from sleep: its requests wait, those of a launch do not."""
    ended: ReplicaReport | None = None
    """The replica that ended last, kept for its times and its log; None if none has."""
    restored: bool = False
    """Whether a new registry has it from its file and does not know all of its replicas yet."""
    scaling: bool = False
    """Whether replicas are being added to those it had, or leave."""
    leaving: tuple[str, ...] = ()
    """Replicas that finish the requests they have and get no more."""
    departing: int = 0
    """Replicas that leave or have left, of those that Serve is still told to have."""

    @property
    def targets(self) -> tuple[ReplicaReport, ...]:
        ready = [r for r in self.replicas if r.stage is ReplicaStage.READY and r.address]
        return tuple(r for r in ready if r.replica not in self.leaving)

    @property
    def desired(self) -> int:
        """Replicas that are wanted, without those that leave."""
        return self.spec.replicas - self.departing

    @property
    def is_complete(self) -> bool:
        """Whether as many replicas take requests as were asked for; one is enough for the model to answer."""
        return self.state is ModelState.READY and len(self.targets) >= self.desired

    @property
    def is_degraded(self) -> bool:
        """True if it serves requests with fewer replicas than it had; not while it is launched or scaled up."""
        was_complete = any(time.stage is ReplicaStage.READY for time in self.times)
        is_up = self.state is ModelState.READY and was_complete and not self.scaling
        return is_up and len(self.targets) < self.desired

    @property
    def is_served(self) -> bool:
        """Whether requests for it get an answer: from its replicas, or by waking it."""
        return self.waking or self.is_asleep or self.state is ModelState.READY

    @property
    def is_asleep(self) -> bool:
        """Whether requests have to wake it first. Users see DRAINING as SLEEPING."""
        return self.state in (ModelState.DRAINING, ModelState.SLEEPING)

    @property
    def context_length(self) -> int | None:
        """The shortest context among the replicas, else the one asked for, else the family's."""
        known = [r.context_length for r in self.replicas if r.context_length]
        if known:
            return min(known)
        return self.spec.context_length or self.spec.usual_context_length


@dataclass(frozen=True, slots=True)
class ModelTable:
    """All models at one moment, or what has changed.

    ``version`` grows with every change and never falls, restarts of the registry included.
    """

    version: int = 0
    models: dict[str, ModelStatus] = field(default_factory=dict)
    families: tuple[str, ...] | None = ()
    """The registered families as JSON; None if they are those of ``families_version``, which the supervisor has."""
    families_version: int = 0
    """Of the table in which the families last changed."""
    stops_at: float | None = None
    """Unix time at which the cluster ends whatever is under way; None unless it is being stopped."""
    since: int | None = None
    """If given, ``models`` has only those that have changed since that version."""
    gone: tuple[str, ...] = ()
    """The models that have gone since then."""

    def applied_to(self, before: ModelTable) -> ModelTable:
        """The whole table, for somebody who has ``before``."""
        families = before.families if self.families is None else self.families
        if self.since is None:
            return replace(self, families=families)
        assert self.since == before.version, "changes of another table"
        models = {**before.models, **self.models}
        for uid in self.gone:
            models.pop(uid, None)
        return replace(self, models=models, since=None, gone=(), families=families)
