"""A launch's report in words: where each replica is, and what each stage took."""

from __future__ import annotations

from typing import Any


def rows(model_uid: str, report: dict[str, Any]) -> list[dict[str, Any]]:
    """The replicas of a report; before there are any, the launch as a whole."""
    replicas: list[dict[str, Any]] = report.get("replicas") or [{**report, "replica_model_uid": model_uid}]
    return [{**row, "name": str(row.get("replica_model_uid") or row.get("replica_id"))} for row in replicas]


def downloaded(row: dict[str, Any]) -> float:
    """Share of a replica's download that is done, 0 to 1; 0 while its size is not known."""
    download = row.get("download") or {}
    total = download.get("bytes_total")
    if total:
        return min(1.0, float(download["bytes_done"] / total))
    return 0.0


def state(row: dict[str, Any], *, seconds: bool = True) -> str:
    """``downloading 12 s, 1.2 of 3.4 GB, 55 MB/s``: the stage, how long it lasts, its download, and what the server adds."""
    stage = str(row.get("stage"))
    parts = [_words(stage) + (_lasts(row) if seconds else ""), *(_download(row) if stage == "downloading" else [])]
    return ", ".join(parts) + (f" ({row['info']})" if row.get("info") else "")


def summary(model_uid: str, report: dict[str, Any]) -> str | None:
    """One line with what each stage took, of the replica that was the last to be ready; None if the server does not tell."""
    ready = [replica for replica in report.get("replicas") or () if _began(replica, "ready")]
    if not ready or not report.get("stages"):
        return None
    last = max(ready, key=lambda replica: _began(replica, "ready"))
    took = [each for each in (*report["stages"], *last["stages"]) if each.get("seconds") is not None]
    total = _began(last, "ready") - report["stages"][0]["began_at"]
    lengths = ", ".join(f"{_words(each['stage'])} {each['seconds']:.1f} s" for each in took)
    return f"{model_uid} is ready after {max(0.0, total):.1f} s: {lengths}"


def _words(stage: str) -> str:
    return stage.replace("_", " ")


def _lasts(row: dict[str, Any]) -> str:
    stages = row.get("stages")
    seconds = stages[-1].get("seconds") if stages else None
    if seconds is None:
        return ""
    return f" {seconds:.0f} s"


def _began(replica: dict[str, Any], stage: str) -> float:
    """Unix time at which the replica reached the stage, 0 if it has not."""
    return next((float(each["began_at"]) for each in replica.get("stages") or () if each["stage"] == stage), 0.0)


def _download(row: dict[str, Any]) -> list[str]:
    download = row.get("download")
    if not download:
        return []
    total = download["bytes_total"]
    if total:
        amount = f"{_size(download['bytes_done'])} of {_size(total)}"
    else:
        amount = _size(download["bytes_done"])
    return [amount, f"{_size(download['bytes_per_s'])}/s"]


def _size(count: float) -> str:
    """``1.2 GB``: two digits at least, in powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    if count < 10 and unit != "B":
        return f"{count:.1f} {unit}"
    return f"{count:.0f} {unit}"
