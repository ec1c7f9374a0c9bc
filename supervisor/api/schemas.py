"""Response models of the control plane: FastAPI checks responses against them and makes ``/openapi.json`` of them."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

Status = Literal["CREATING", "LOADING", "READY", "SLEEPING", "TERMINATING", "ERROR", "TERMINATED"]


class ErrorFields(TypedDict):
    """What OpenAI's clients read of an error."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(TypedDict):
    """Any error: ``error`` for OpenAI's clients, ``detail`` for Xinference's."""

    error: ErrorFields
    detail: str


class Described(TypedDict):
    """One model."""

    id: str
    object: str
    created: int
    owned_by: str
    root: str
    max_model_len: int | None
    model_type: str
    model_name: str
    model_uid: str
    model_lang: list[str]
    model_ability: list[str]
    model_description: str
    model_format: str
    model_size_in_billions: int | float | str | None
    model_family: str
    quantization: str
    multimodal_projector: str | None
    model_hub: str
    model_engine: str
    revision: str | None
    context_length: int
    strict_system_first: bool
    enable_thinking: bool | None
    thinking: str
    address: str | None
    accelerators: list[str]
    replica: int
    n_worker: int
    n_gpu: float
    idle_timeout: float | None
    autoscaling_config: dict[str, Any] | None
    kv_cache_gib: float | None
    chosen_because: str | None
    status: Status


class ModelList(TypedDict):
    """OpenAI's list."""

    object: str
    data: list[Described]


class ModelUid(TypedDict):
    """What a launch gives; ``why`` this model of the family where there was a choice."""

    model_uid: str
    why: NotRequired[str]


class WorkerOfReplica(TypedDict):
    """One worker of a replica, which has one on each of its nodes; that of rank 0 has the engine's server."""

    rank: int
    worker_address: str | None
    model_state: str
    accelerators: list[str]
    pid: int | None
    info: str
    download: dict[str, Any] | None


class ReplicaStatus(TypedDict):
    """One replica."""

    replica_id: int
    replica_uid: str | None
    replica_model_uid: str
    worker_address: str | None
    model_address: str | None
    accelerators: list[str]
    gpu_idx: list[int]
    workers: list[WorkerOfReplica]
    status: Status
    model_state: str
    created_ts: int
    error_message: str | None


class Instance(TypedDict):
    """One model with its replicas, on its way up or failed perhaps."""

    model_name: str
    model_uid: str
    model_version: str
    model_ability: list[str]
    replica: int
    status: Status
    state: str
    reason: str | None
    instance_created_ts: int
    n_worker: int
    replica_statuses: list[ReplicaStatus]
    declaration: dict[str, Any] | None


class AddedReplica(TypedDict):
    """A replica that was added."""

    replica_id: int
    replica_model_uid: str
    worker_address: str | None


class AddedReplicas(TypedDict):
    """Several of them."""

    replica: int
    replicas: list[AddedReplica]


class RemainingReplicas(TypedDict):
    """After one was taken away."""

    remaining_replicas: int


class EventReply(TypedDict):
    """Something that happened to a model."""

    event_type: Literal["INFO", "WARNING", "ERROR"]
    event_ts: int
    event_content: str


class ReplicaLog(TypedDict):
    """The end of one engine's log."""

    replica_uid: str
    lines: list[str]


class ModelLog(TypedDict):
    """The ends of the logs of one model's engines."""

    model_uid: str
    replicas: list[ReplicaLog]


class Aborted(TypedDict):
    """Whether there was such a request."""

    msg: Literal["DONE", "NOT_FOUND"]


class StageReply(TypedDict):
    """One stage of a launch."""

    stage: str
    began_at: float
    seconds: float | None


class ReplicaProgress(TypedDict):
    """How far one replica is."""

    replica_id: int
    replica_model_uid: str
    progress: float
    stage: str
    info: str
    updated_at: float
    stages: list[StageReply]
    download: dict[str, Any] | None
    download_files: list[Any]
    workers: list[WorkerOfReplica]


class Progress(TypedDict):
    """How far a launch is, from 0 to 1."""

    progress: float
    stage: str
    stages: list[StageReply]
    download_files: list[Any]
    replicas: list[ReplicaProgress]
    why: str | None
    error: str | None


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


class Drained(TypedDict):
    """Whether all requests had ended by themselves when the time was over."""

    drained: bool


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


class ServerVersion(TypedDict):
    """In the shape of vLLM's server; the field ``xinfer`` tells whose version it is."""

    version: str
    xinfer: str


class ServerLoad(TypedDict):
    """In the shape of vLLM's server."""

    server_load: int


class NodeInfo(NodeStatus, total=False):
    """A node; from ``gpu_vram_total`` on with ``detailed=true`` only, in bytes, percent and, for ``age_s``, seconds."""

    node_type: Literal["Supervisor", "Worker"]
    ip_address: str
    gpu_vram_total: int
    gpu_vram_available: int
    gpu_utilization: float | None
    cpu_available: float
    mem_used: int
    mem_available: int
    age_s: float
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


class AnthropicModel(TypedDict):
    """A model with the fields that Anthropic's API and Xinference's each give it."""

    id: str
    type: str
    object: str
    display_name: str
    created: int
    created_at: str
    lifecycle: str
    max_input_tokens: int | None
    max_tokens: int | None


class AnthropicModels(TypedDict):
    """Anthropic's list, which has one page here."""

    data: list[AnthropicModel]
    has_more: bool
    first_id: str | None
    last_id: str | None
