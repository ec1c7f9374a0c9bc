"""Response models of ``/v1/nodes``. Sizes are in bytes."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

NodeState = Literal["READY", "DRAINING", "DRAINED"]


class CpuOfNode(TypedDict):
    """The CPUs of a node."""

    count: int
    used_percent: float


class MemoryOfNode(TypedDict):
    """The memory of a node, or of the container that it is in."""

    total: int
    used: int
    available: int


class DiskOfNode(TypedDict):
    """The disk with the hub's cache."""

    total: int
    free: int


class GpuOfNode(TypedDict):
    """One GPU; null for what it does not report."""

    index: int
    name: str
    memory_total: int | None
    memory_used: int | None
    utilization: int | None


class ReplicaOnNode(TypedDict):
    """A replica that runs on the node, or is on its way up there."""

    model_uid: str
    replica: str


class VersionsOfNode(TypedDict):
    """What is installed there; null without vLLM."""

    xinfer: str
    python: str
    ray: str
    vllm: str | None


class NodeLogLines(TypedDict):
    """Lines of one log."""

    name: str
    lines: list[str]


class NodeLog(TypedDict):
    """The logs of a node, the one that was written to last at the end."""

    id: str
    address: str
    logs: list[NodeLogLines]


class Node(TypedDict):
    """One node. What its agent measures is null until its first report, and when it has been silent for a minute."""

    id: str
    address: str
    hostname: str
    head: bool
    state: NodeState
    labels: dict[str, str]
    num_gpus: float
    replicas: list[ReplicaOnNode]
    cpu: CpuOfNode | None
    memory: MemoryOfNode | None
    disk: DiskOfNode | None
    gpus: list[GpuOfNode]
    cached_models: list[str]
    warm_host: str | None
    version: str | None
    versions: VersionsOfNode | None
    age_s: float | None


class NodeList(TypedDict):
    """All nodes."""

    object: Literal["list"]
    data: list[Node]
