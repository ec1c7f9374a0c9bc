"""How far a launch is, on the wire: the contract's fields, what each stage took, and the bytes of a download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from xinfer.messages import DownloadState, ModelState, ReplicaReport, ReplicaStage, Route, StageTime

_OF_THE_WHOLE = {
    ModelState.PENDING: ReplicaStage.PENDING,
    ModelState.SLEEPING: ReplicaStage.READY,  # a request wakes it
    ModelState.FAILED: ReplicaStage.FAILED,
    ModelState.CANCELLED: ReplicaStage.CANCELLED,
    ModelState.TERMINATING: ReplicaStage.CANCELLED,
}
"""Where every replica is, whatever they said last. In other states each is where it says."""


def progress(route: Route, now: float, gpus_free: float | None = None) -> dict[str, Any]:
    """How far a launch has come; ``progress`` from 0 to 1 is the mean over the replicas asked for.

    ``now`` is Unix time in seconds. ``gpus_free`` are the cluster's GPUs that nobody has, if the caller knows.
    """
    replicas = [_replica(route, number, report, now, gpus_free) for number, report in enumerate(_asked_for(route))]
    return {
        "progress": 1.0 if route.is_complete else round(sum(each["progress"] for each in replicas) / len(replicas), 3),
        "stage": _stage(route).value,
        "stages": _stages(route.times, now, _placed_at(route)),
        "download_files": [],
        "replicas": replicas,
        "why": route.spec.chosen_because or None,
        "error": route.reason if route.state is ModelState.FAILED else None,
    }


def _stage(route: Route) -> ReplicaStage:
    """The stage of a launch is that of its slowest replica; once as many are ready as were asked for, no other counts."""
    if route.is_complete:
        return ReplicaStage.READY
    if route.state in _OF_THE_WHOLE:
        return _OF_THE_WHOLE[route.state]
    return min((_stage_of(route, report) for report in _asked_for(route)), key=lambda stage: stage.progress)


def _stage_of(route: Route, report: ReplicaReport | None) -> ReplicaStage:
    if route.state in _OF_THE_WHOLE:
        return _OF_THE_WHOLE[route.state]
    return report.stage if report else ReplicaStage.PLACING


def _asked_for(route: Route) -> list[ReplicaReport | None]:
    """The replicas there are, then None for each that has not reported; of a launch that is over, the one that ended last."""
    known = list(route.replicas) or ([route.ended] if route.ended and _is_over(route) else [])
    return [*known, *[None] * max(0, route.spec.replicas - len(known))]


def _is_over(route: Route) -> bool:
    return route.state in (ModelState.FAILED, ModelState.CANCELLED)


def _replica(
    route: Route, number: int, report: ReplicaReport | None, now: float, gpus_free: float | None
) -> dict[str, Any]:
    stage = _stage_of(route, report)
    return {
        "replica_id": number,
        "replica_model_uid": f"{route.spec.uid}-rep{number}",
        "progress": round(_share(stage, report), 3),
        "stage": stage.value,
        "stages": _stages(report.times if report else route.times, now),
        "info": report.info if report else _info_of_placing(route, stage, gpus_free),
        "download": asdict(report.download) if report and report.download else None,
        "download_files": [],
        "updated_at": report.updated_at if report else _last_heard(route),
    }


def _share(stage: ReplicaStage, report: ReplicaReport | None) -> float:
    """Where the bar stands: at the stage's beginning, and in a download on the way to the next one's, by the bytes."""
    if stage is not ReplicaStage.DOWNLOADING or report is None or report.download is None:
        return stage.progress
    return stage.progress + _done(report.download) * (ReplicaStage.STARTING.progress - stage.progress)


def _done(download: DownloadState) -> float:
    return min(1.0, download.bytes_done / download.bytes_total) if download.bytes_total else 0.0


def _info_of_placing(route: Route, stage: ReplicaStage, gpus_free: float | None) -> str:
    """What Ray looks for, and what there is of it; replicas without a GPU find a place anywhere."""
    gpus = route.spec.gpus
    if stage is not ReplicaStage.PLACING or not gpus:
        return ""
    asked = f"waiting for {gpus:g} {'GPU' if gpus <= 1 else 'GPUs on one node'}"
    return asked if gpus_free is None else f"{asked}; {gpus_free:g} free in the cluster"


def _last_heard(route: Route) -> float:
    return route.times[-1].began_at if route.times else route.spec.created_at


def _placed_at(route: Route) -> float | None:
    """When the last of the replicas had its place and began; None while one looks for it."""
    began = [report.times[0].began_at if report.times else report.created_at for report in _asked_for(route) if report]
    return max(began) if began and (_is_over(route) or len(began) >= route.spec.replicas) else None


def _stages(times: Sequence[StageTime], now: float, placed_at: float | None = None) -> list[dict[str, Any]]:
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
