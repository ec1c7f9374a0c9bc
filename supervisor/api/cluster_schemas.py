"""Shapes of what is told of the cluster, its caches and its figures; ``/openapi.json`` is made of them, too."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12


class CachedModel(TypedDict):
    """A repository in the hub's cache on one node."""

    model_name: str
    model_type: str | None
    model_engine: str | None
    model_size_in_billions: int | float | str | None
    model_format: str | None
    quantization: str | None
    model_version: str
    path: str
    real_path: str
    actor_ip_address: str
    size_bytes: int


class CachedModels(TypedDict):
    """All of them."""

    list: list[CachedModel]


class CachedFiles(TypedDict):
    """What removing a model from the cache would delete."""

    model_version: str
    worker_ip: str | None
    paths: list[str]


class Result(TypedDict):
    """Whether it was done."""

    result: bool


class Health(TypedDict):
    """Alive."""

    status: Literal["ok"]


class NodeStatus(TypedDict):
    """What Ray knows of a node."""

    gpu_count: int
    cpu_count: int
    mem_total: int
    status: Literal["alive"]


class ClusterStatus(TypedDict):
    """Uptime in seconds, and the nodes by address."""

    uptime: int
    workers: dict[str, NodeStatus]


class Auth(TypedDict):
    """Whether clients have to send a key."""

    auth: bool


Version = TypedDict("Version", {"version": str, "full-revisionid": str | None, "ray": str})
Version.__doc__ = "Versions of xinfer and Ray."


class NodeInfo(NodeStatus, total=False):
    """A node; from ``gpu_vram_total`` on with ``detailed=true`` only, in bytes and as shares from 0 to 1."""

    node_type: Literal["Supervisor", "Worker"]
    ip_address: str
    gpu_vram_total: int
    gpu_vram_available: int
    gpu_utilization: float | None
    cpu_available: float
    mem_used: int
    mem_available: int
    software_version: str


WorkerModels = TypedDict("WorkerModels", {"work-ip": str, "models": dict[str, list[str]]})
WorkerModels.__doc__ = "The replicas on one node, by model."


class SupervisorIp(TypedDict):
    """Where the head is."""

    supervisor_ip: str


class ScrapeTarget(TypedDict):
    """One of Prometheus' ``http_sd_config``."""

    targets: list[str]
    labels: dict[str, str]
