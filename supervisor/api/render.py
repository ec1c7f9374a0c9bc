"""How models look on the wire: the shapes of Xinference's contract, with what more xinfer knows."""

from __future__ import annotations

from dataclasses import asdict

from supervisor.api.schemas import Described, EventReply, Instance, ReplicaStatus, Status, WorkerOfReplica
from supervisor.launching.autoscaling_request import as_json
from xinfer.messages import Event, FollowerReport, ModelSpec, ModelState, ModelStatus, ReplicaReport, ReplicaStage
from xinfer.model_size import size_as_number
from xinfer.node_labels import as_text

_STATUS: dict[ModelState, Status] = {
    ModelState.PENDING: "CREATING",
    ModelState.LAUNCHING: "LOADING",
    ModelState.READY: "READY",
    ModelState.DRAINING: "SLEEPING",
    ModelState.SLEEPING: "SLEEPING",
    ModelState.TERMINATING: "TERMINATING",
    ModelState.FAILED: "ERROR",
    ModelState.CANCELLED: "TERMINATED",
}


def status(model: ModelStatus) -> Status:
    """Where a model is in its life, in Xinference's words and one more."""
    return _STATUS[model.state]


def engine_name(spec: ModelSpec) -> str:
    """The engine as Xinference spells it."""
    if spec.engine == "vllm":
        return "vLLM"
    return spec.engine


def version(name: str, size_in_billions: str | None, model_format: str, quantization: str | None) -> str:
    """One model of a family in one string, as Xinference makes it."""
    return f"{name}--{size_in_billions or '?'}B--{model_format}--{quantization or 'none'}"


def describe(model: ModelStatus) -> Described:
    """One model, as ``GET /v1/models/{uid}`` and the list give it: OpenAI's fields, vLLM's, then Xinference's with our own."""
    spec = model.spec
    return {
        "id": spec.uid,
        "object": "model",
        "created": int(spec.created_at),
        "owned_by": "xinfer",
        # Its files, where vLLM's own server has them: vLLM's benchmark loads the tokenizer from there.
        "root": spec.path,
        "max_model_len": model.context_length,
        "model_type": "LLM",
        "model_name": spec.name,
        "model_uid": spec.uid,
        "model_lang": list(spec.languages),
        "model_ability": list(spec.abilities),
        "model_description": spec.description,
        "model_format": spec.format,
        "model_size_in_billions": size_as_number(spec.size_in_billions),
        "model_family": spec.name,
        "quantization": spec.quantization or "none",
        "multimodal_projector": None,
        "model_hub": "huggingface",
        "model_engine": engine_name(spec),
        "revision": spec.revision,
        "context_length": model.context_length or 0,
        "strict_system_first": False,
        "enable_thinking": spec.enable_thinking,
        "thinking": spec.thinking.mode.value,
        "address": next((r.address for r in model.targets), None),
        "accelerators": _accelerators(model),
        "replica": model.desired,
        "n_worker": spec.workers,
        "n_gpu": spec.gpus,
        "idle_timeout": spec.idle_timeout_s,
        "autoscaling_config": as_json(spec.autoscaling) if spec.autoscaling else None,
        "kv_cache_gib": spec.kv_cache_gib,
        "chosen_because": spec.chosen_because or None,
        "status": status(model),
    }


def _accelerators(model: ModelStatus) -> list[str]:
    gpus: set[str] = set()
    for replica in model.replicas:
        gpus.update(replica.gpu_ids)
        for follower in replica.followers:
            gpus.update(follower.gpu_ids)
    return sorted(gpus)


def state(model: ModelStatus) -> str:
    """Where a model is in its life; ``DEGRADED`` for one that is READY with fewer replicas than it had."""
    if model.is_degraded:
        return "DEGRADED"
    return model.state.value


def instance(model: ModelStatus, gpus_free: float | None = None) -> Instance:
    """One model, as ``GET /v1/models/instances`` gives it. ``gpus_free`` are the cluster's GPUs that nobody has, if known."""
    spec = model.spec
    return {
        "model_name": spec.name,
        "model_uid": spec.uid,
        "model_version": version(spec.name, spec.size_in_billions, spec.format, spec.quantization),
        "model_ability": list(spec.abilities),
        "replica": model.desired,
        "status": status(model),
        "state": state(model),
        "reason": _reason(model, gpus_free),
        "instance_created_ts": int(spec.created_at),
        "n_worker": spec.workers,
        "replica_statuses": replicas(model),
        "declaration": spec.declaration,
    }


def _reason(model: ModelStatus, gpus_free: float | None) -> str | None:
    """Why it is not ready, or not complete."""
    if model.state is ModelState.PENDING and model.spec.wait_for_capacity:
        return (
            f"{model.desired} {'replica' if model.desired == 1 else 'replicas'}, {waiting_for(model.spec, gpus_free)}"
        )
    if not model.is_degraded:
        return model.reason or None
    missing = f"{len(model.targets)} of {model.desired} replicas take requests"
    coming = [report.stage.value.replace("_", " ") for report in model.replicas if report not in model.targets]
    if coming:
        next_one = f"another one is {coming[0]}"
    else:
        next_one = f"another one is {waiting_for(model.spec, gpus_free)}"
    return " ".join(filter(None, [f"{missing}; {next_one}.", model.reason]))


def waiting_for(spec: ModelSpec, gpus_free: float | None) -> str:
    """What Ray looks for to place a replica, and what there is of it."""
    asked = _asked_for(spec)
    if spec.node_labels:
        asked += f" ({as_text(spec.node_labels)})"
    if spec.wait_for_capacity:
        asked += ", which Ray's autoscaler is asked for"
    if gpus_free is None:
        return asked
    return f"{asked}; {gpus_free:g} free in the cluster"


def _asked_for(spec: ModelSpec) -> str:
    gpus = f"{spec.gpus:g} {'GPU' if spec.gpus <= 1 else 'GPUs'}"
    if spec.workers > 1:
        nodes = f"waiting for {spec.workers} nodes"
        return f"{nodes} with {gpus} each" if spec.gpus else nodes
    if not spec.gpus:
        return "waiting for a node"
    return f"waiting for {gpus}{' on one node' if spec.gpus > 1 else ''}"


def replicas(model: ModelStatus) -> list[ReplicaStatus]:
    """The replicas of one model that have reported, and, if its launch failed, why."""
    seen = [_replica_status(model, number, report) for number, report in enumerate(model.replicas)]
    if model.state is ModelState.FAILED and not seen:
        seen = [_replica_status(model, 0, None)]
    return seen


def _replica_status(model: ModelStatus, number: int, report: ReplicaReport | None) -> ReplicaStatus:
    failed = model.state is ModelState.FAILED
    ready = report is not None and report.stage is ReplicaStage.READY
    return {
        "replica_id": number,
        "replica_uid": report.replica if report else None,
        "replica_model_uid": f"{model.spec.uid}-rep{number}",
        "worker_address": report.node if report else None,
        "model_address": report.address if report else None,
        "accelerators": list(report.gpu_ids) if report else [],
        "gpu_idx": [int(gpu) for gpu in report.gpu_ids if gpu.isdigit()] if report else [],
        "workers": workers(report) if report else [],
        "status": "ERROR" if failed else "READY" if ready else "LOADING",
        "model_state": report.stage.value if report else "failed",
        "created_ts": int(report.created_at) if report else int(model.spec.created_at),
        "error_message": model.reason if failed else None,
    }


def workers(report: ReplicaReport) -> list[WorkerOfReplica]:
    """The workers of one replica: one on each of its nodes, the one with the engine's server first."""
    leader = FollowerReport(0, report.node, report.stage, report.pid, report.gpu_ids, report.info, report.download)
    return [_worker(each) for each in (leader, *report.followers)]


def _worker(report: FollowerReport) -> WorkerOfReplica:
    return {
        "rank": report.rank,
        "worker_address": report.node or None,
        "model_state": report.stage.value,
        "accelerators": list(report.gpu_ids),
        "pid": report.pid,
        "info": report.info,
        "download": asdict(report.download) if report.download else None,
    }


def event(happened: Event) -> EventReply:
    """Something that happened to a model, as ``GET /v1/models/{uid}/events`` gives it."""
    return {"event_type": happened.type.value, "event_ts": int(happened.at), "event_content": happened.content}
