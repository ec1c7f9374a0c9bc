"""Operations of the control plane, with the types that their handlers read and answer with."""

from __future__ import annotations

from typing import Any

from supervisor.api import cluster_schemas as cluster_replies
from supervisor.api import schemas as replies
from supervisor.api.openapi.operation import TEXT, Operation, Schema
from supervisor.api.registrations import RegistrationRequest, SuggestionRequest
from supervisor.api.render_families import BriefRegistration, EngineSpec, Prompt, RegistrationReply, VersionReply
from supervisor.api.replicas import ReplicaRequest
from supervisor.launching.launch_request import LaunchRequest, VersionRequest

_FLAG: Schema = {"type": "boolean"}
_WAIT: dict[str, Schema] = {"wait_ready": {**_FLAG, "default": True}}
_MODEL: dict[str, Schema] = {"model_name": TEXT, "model_uid": TEXT}
_NODE: dict[str, Schema] = {"worker_ip": TEXT}
_VERSION: dict[str, Schema] = {"model_version": TEXT, **_NODE}
_NEWEST: dict[str, Schema] = {"lines": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100}}
_ADDED = replies.AddedReplica | replies.AddedReplicas
_ONE = "/v1/models/{uid}"
_FAMILY = "/v1/model_registrations/{type}/{name}"
_RESPONSE = "/v1/responses/{response_id}"
_ANTHROPICS: Schema = {"type": "object"}
_ABORT: Schema = {"type": "object", "properties": {"block_duration": {"type": ["number", "null"], "default": 30}}}
_NOT_KEPT = "Responses are not kept: always 404."

CONTROL = (
    Operation("GET", "/v1/models", "Models that answer, asleep or awake.", replies.ModelList),
    Operation("POST", "/v1/models", "Launch a model.", replies.ModelUid, query=_WAIT, body=LaunchRequest),
    Operation("GET", "/v1/models/instances", "Models and launches.", list[replies.Instance], query=_MODEL),
    Operation(
        "POST", "/v1/models/instance", "Launch by a version.", replies.ModelUid, query=_WAIT, body=VersionRequest
    ),
    Operation("GET", _ONE, "Describe a model.", replies.Described),
    Operation("DELETE", _ONE, "Terminate a model."),
    Operation("GET", f"{_ONE}/progress", "How far a launch is.", replies.Progress),
    Operation("POST", f"{_ONE}/cancel", "Give a launch up."),
    Operation("GET", f"{_ONE}/events", "What has happened to a model, oldest first.", list[replies.EventReply]),
    Operation("GET", f"{_ONE}/replicas", "The replicas of a model.", list[replies.ReplicaStatus]),
    Operation(
        "POST", f"{_ONE}/replicas", "Add replicas.", _ADDED, query=_WAIT, body=ReplicaRequest, body_required=False
    ),
    Operation("DELETE", f"{_ONE}/replicas/{{replica_id}}", "Take a replica away.", replies.RemainingReplicas),
    Operation("GET", f"{_ONE}/log", "The end of its engines' logs.", replies.ModelLog, query=_NEWEST),
    Operation(
        "POST",
        f"{_ONE}/requests/{{request_id}}/abort",
        "Give a request up.",
        replies.Aborted,
        body=_ABORT,
        body_required=False,
    ),
    Operation("GET", "/v1/requests/{request_id}/progress", "Of image jobs; there are none: always 404.", answers=False),
    Operation("GET", "/v1/models/families", "Families by ability.", dict[str, list[str]]),
    Operation("GET", "/v1/models/prompts", "What is known of families' prompts.", dict[str, Prompt]),
    Operation("GET", "/v1/models/vllm-supported", "Families that vLLM runs.", dict[str, list[str]]),
    Operation("GET", "/v1/models/{type}/{name}/versions", "The models of a family.", list[VersionReply]),
    Operation(
        "POST", "/v1/models/llm/auto-register", "What to register for a folder.", dict[str, Any], body=SuggestionRequest
    ),
    Operation("GET", "/v1/engines/{name}", "What of a family runs on which engine.", dict[str, list[EngineSpec]]),
    Operation("GET", "/v1/engines/{type}/{name}", "The same.", dict[str, list[EngineSpec]]),
    Operation(
        "GET",
        "/v1/model_registrations/{type}",
        "The families.",
        list[RegistrationReply | BriefRegistration],
        query={"detailed": {**_FLAG, "default": False}},
    ),
    Operation("POST", "/v1/model_registrations/{type}", "Register a family.", body=RegistrationRequest),
    Operation("GET", _FAMILY, "One family in full.", RegistrationReply),
    Operation("DELETE", _FAMILY, "Take a registered family out again."),
    Operation(
        "GET",
        "/v1/cache/models",
        "What the nodes' caches hold.",
        cluster_replies.CachedModels,
        query={"model_name": TEXT, **_NODE},
    ),
    Operation(
        "GET",
        "/v1/cache/models/files",
        "What removing a model would delete.",
        cluster_replies.CachedFiles,
        query=_VERSION,
        required=("model_version",),
    ),
    Operation(
        "DELETE",
        "/v1/cache/models",
        "Delete a model's files.",
        cluster_replies.Result,
        query=_VERSION,
        required=("model_version",),
    ),
    Operation("GET", "/health", "Alive.", cluster_replies.Health),
    Operation("GET", "/status", "Uptime in seconds, and the nodes.", cluster_replies.ClusterStatus),
    Operation("GET", "/v1/address", "Ray's address.", TEXT),
    Operation("GET", "/v1/cluster/auth", "Whether a key is asked for.", cluster_replies.Auth),
    Operation("GET", "/v1/cluster/version", "Versions of xinfer and Ray.", cluster_replies.Version),
    Operation(
        "GET",
        "/v1/cluster/info",
        "The nodes.",
        list[cluster_replies.NodeInfo],
        query={"detailed": {**_FLAG, "default": False}},
    ),
    Operation("GET", "/v1/cluster/devices", "The most GPUs that one node has.", {"type": "integer"}),
    Operation("GET", "/v1/supervisor", "Where the head is.", cluster_replies.SupervisorIp),
    Operation("GET", "/v1/workers", "Which models are on which node.", list[cluster_replies.WorkerModels]),
    Operation("DELETE", "/v1/clusters", "Stop the whole cluster.", cluster_replies.Result),
    Operation("GET", "/metrics", "Figures for Prometheus.", TEXT, content_type="text/plain"),
    Operation("GET", "/metrics/engines", "Where the engines' own figures are.", list[cluster_replies.ScrapeTarget]),
    Operation("GET", "/openapi.json", "This document.", {"type": "object"}),
    Operation("GET", "/anthropic/v1/models", "Models that chat, in Anthropic's words.", _ANTHROPICS),
    Operation("GET", "/anthropic/v1/models/{uid}", "One of them.", _ANTHROPICS),
    Operation("GET", _RESPONSE, _NOT_KEPT, answers=False),
    Operation("DELETE", _RESPONSE, _NOT_KEPT, answers=False),
    Operation("POST", f"{_RESPONSE}/cancel", _NOT_KEPT, answers=False),
    Operation("GET", f"{_RESPONSE}/input_items", _NOT_KEPT, answers=False),
)
"""All of them."""
