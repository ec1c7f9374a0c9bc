"""How far a launch is, on the wire: the contract's fields, what each stage took, and the bytes of a download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from supervisor.api.render import waiting_for, workers
from supervisor.api.schemas import Progress, ReplicaProgress, StageReply
from xinfer.messages import ModelState, ModelStatus, ReplicaReport, ReplicaStage, StageTime

_OF_THE_WHOLE = {
    ModelState.PENDING: ReplicaStage.PENDING,
    ModelState.DRAINING: ReplicaStage.READY,
    ModelState.SLEEPING: ReplicaStage.READY,  # a request wakes it
    ModelState.FAILED: ReplicaStage.FAILED,
    ModelState.CANCELLED: ReplicaStage.CANCELLED,
    ModelState.TERMINATING: ReplicaStage.CANCELLED,
}
"""Where every replica is, whatever they said last. In other states each is where it says."""


def progress(model: ModelStatus, now: float, gpus_free: float | None = None) -> Progress:
    """How far a launch has come; ``progress`` from 0 to 1 is the mean over the replicas asked for.

    ``now`` is Unix time in seconds. ``gpus_free`` are the cluster's GPUs that nobody has, if the caller knows.
    """
    replicas = [_replica(model, number, report, now, gpus_free) for number, report in enumerate(_asked_for(model))]
    return {
        "progress": 1.0 if model.is_complete else round(sum(each["progress"] for each in replicas) / len(replicas), 3),
        "stage": _stage(model).value,
        "stages": _stages(model.times, now, _placed_at(model)),
        "download_files": [],
        "replicas": replicas,
        "why": model.spec.chosen_because or None,
        "error": model.reason if model.state is ModelState.FAILED else None,
    }


def _stage(model: ModelStatus) -> ReplicaStage:
    """The stage of a launch is that of its slowest replica; once as many are ready as were asked for, no other counts."""
    if model.is_complete:
        return ReplicaStage.READY
    if model.state in _OF_THE_WHOLE:
        return _OF_THE_WHOLE[model.state]
    return min((_stage_of(model, report) for report in _asked_for(model)), key=lambda stage: stage.progress)


def _stage_of(model: ModelStatus, report: ReplicaReport | None) -> ReplicaStage:
    if model.state in _OF_THE_WHOLE:
        return _OF_THE_WHOLE[model.state]
    if report:
        return report.stage
    return ReplicaStage.PLACING


def _asked_for(model: ModelStatus) -> list[ReplicaReport | None]:
    """The replicas there are, then None for each that has not reported; of a launch that is over, the one that ended last."""
    known = list(model.replicas) or ([model.ended] if model.ended and _is_over(model) else [])
    return [*known, *[None] * max(0, model.desired - len(known))]


def _is_over(model: ModelStatus) -> bool:
    return model.state in (ModelState.FAILED, ModelState.CANCELLED)


def _replica(
    model: ModelStatus, number: int, report: ReplicaReport | None, now: float, gpus_free: float | None
) -> ReplicaProgress:
    stage = _stage_of(model, report)
    return {
        "replica_id": number,
        "replica_model_uid": f"{model.spec.uid}-rep{number}",
        "progress": round(_share(stage, report), 3),
        "stage": stage.value,
        "stages": _stages(report.times if report else model.times, now),
        "info": report.info if report else _info_of_placing(model, stage, gpus_free),
        "download": asdict(report.download) if report and report.download else None,
        "download_files": [],
        "workers": workers(report) if report else [],
        "updated_at": report.updated_at if report else _last_heard(model),
    }


def _share(stage: ReplicaStage, report: ReplicaReport | None) -> float:
    """Where the bar stands: at the stage's beginning, and in a download on the way to the next one's, by the bytes."""
    if stage is not ReplicaStage.DOWNLOADING or report is None:
        return stage.progress
    return stage.progress + _done(report) * (ReplicaStage.STARTING.progress - stage.progress)


def _done(report: ReplicaReport) -> float:
    """Share of the bytes that are there, on all of the replica's nodes that download."""
    of_each_node = (report.download, *(follower.download for follower in report.followers))
    downloads = [download for download in of_each_node if download]
    total = sum(download.bytes_total for download in downloads)
    if total:
        return min(1.0, sum(download.bytes_done for download in downloads) / total)
    return 0.0


def _info_of_placing(model: ModelStatus, stage: ReplicaStage, gpus_free: float | None) -> str:
    """What Ray looks for, and what there is of it; replicas without a GPU find a place anywhere."""
    waits = stage is ReplicaStage.PENDING and model.spec.wait_for_capacity
    if not waits and (stage is not ReplicaStage.PLACING or not model.spec.gpus):
        return ""
    return waiting_for(model.spec, gpus_free)


def _last_heard(model: ModelStatus) -> float:
    if model.times:
        return model.times[-1].began_at
    return model.spec.created_at


def _placed_at(model: ModelStatus) -> float | None:
    """When the last of the replicas had its place and began; None while one looks for it."""
    began = [report.times[0].began_at if report.times else report.created_at for report in _asked_for(model) if report]
    if began and (_is_over(model) or len(began) >= model.desired):
        return max(began)
    return None


def _stages(times: Sequence[StageTime], now: float, placed_at: float | None = None) -> list[StageReply]:
    """What each stage took; the last one lasts, unless it is an end: that has no length."""
    ends = [later.began_at for later in times[1:]] + [now]
    return [
        {"stage": time.stage.value, "began_at": time.began_at, "seconds": _length(time, end, placed_at)}
        for time, end in zip(times, ends, strict=False)  # without any time there is an end too many
    ]


def _length(time: StageTime, end: float, placed_at: float | None) -> float | None:
    if time.stage.is_final or time.stage is ReplicaStage.READY:
        return None
    if time.stage is ReplicaStage.PLACING and placed_at is not None and placed_at >= time.began_at:
        end = min(end, placed_at)
    return round(max(0.0, end - time.began_at), 3)
