"""A launch's progress in words: the stage of each replica, and the time of each stage."""

from __future__ import annotations

from typing import Any


def rows(model_uid: str, report: dict[str, Any]) -> list[dict[str, Any]]:
    """The replicas of a report, each with its ``name``; before there are any, the launch as a whole."""
    replicas: list[dict[str, Any]] = report.get("replicas") or [{**report, "replica_model_uid": model_uid}]
    named: list[dict[str, Any]] = []
    for replica in replicas:
        # The number of the replica, where a server sends no UID.
        name = replica.get("replica_model_uid") or replica.get("replica_id")
        named.append({**replica, "name": str(name)})
    return named


def downloaded(row: dict[str, Any]) -> float:
    """Share of a replica's download that is done, 0 to 1; 0 while its size is not known."""
    download = row.get("download") or {}
    total = download.get("bytes_total")
    if total:
        return min(1.0, float(download["bytes_done"] / total))
    return 0.0


def state(row: dict[str, Any], *, seconds: bool = True) -> str:
    """``downloading 12 s, 1.2 of 3.4 GB, 55 MB/s``: stage, duration, download and the server's ``info``."""
    stage = str(row.get("stage"))
    text = _words(stage)
    if seconds:
        text += _duration(row)
    if stage == "downloading":
        text += _download(row)
    if row.get("info"):
        text += f" ({row['info']})"
    return text


def summary(model_uid: str, report: dict[str, Any]) -> str | None:
    """One line with the time of each stage, for the replica that was ready last; None without times."""
    ready = [replica for replica in report.get("replicas") or () if _began(replica, "ready")]
    if not ready or not report.get("stages"):
        return None
    last = max(ready, key=_became_ready)
    durations: list[str] = []
    # First the stages of the launch, then those of the replica.
    for stage in (*report["stages"], *last["stages"]):
        seconds = stage.get("seconds")
        if seconds is not None:
            durations.append(f"{_words(stage['stage'])} {seconds:.1f} s")
    # Clocks of two nodes may differ.
    total = max(0.0, _became_ready(last) - report["stages"][0]["began_at"])
    return f"{model_uid} is ready after {total:.1f} s: {', '.join(durations)}"


def _words(stage: str) -> str:
    return stage.replace("_", " ")


def _duration(row: dict[str, Any]) -> str:
    stages = row.get("stages")
    if not stages or stages[-1].get("seconds") is None:
        return ""
    return f" {stages[-1]['seconds']:.0f} s"


def _became_ready(replica: dict[str, Any]) -> float:
    return _began(replica, "ready")


def _began(replica: dict[str, Any], stage: str) -> float:
    """Unix time at which the replica reached the stage, 0 if it has not."""
    for each in replica.get("stages") or ():
        if each["stage"] == stage:
            return float(each["began_at"])
    return 0.0


def _download(row: dict[str, Any]) -> str:
    download = row.get("download")
    if not download:
        return ""
    amount = _size(download["bytes_done"])
    total = download["bytes_total"]
    if total:
        amount = f"{amount} of {_size(total)}"
    return f", {amount}, {_size(download['bytes_per_s'])}/s"


def _size(count: float) -> str:
    """``1.2 GB``: at least two digits, in powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    if count < 10 and unit != "B":
        return f"{count:.1f} {unit}"
    return f"{count:.0f} {unit}"
