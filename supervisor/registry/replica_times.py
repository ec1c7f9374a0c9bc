"""The stages of a replica, with the one that it cannot know of itself: it begins only when Ray has found it a place."""

from __future__ import annotations

from xinfer.messages import ModelStatus, ReplicaReport, ReplicaStage, StageTime


def stages_of(model: ModelStatus, report: ReplicaReport) -> tuple[StageTime, ...]:
    """Its stages in order. Those that came after their model's launch was over have no time of placing: nobody noted it."""
    began = {time.stage: time.began_at for time in model.times}
    placing_at = began.get(ReplicaStage.PLACING)
    ready_at = began.get(ReplicaStage.READY)
    if placing_at is None or not report.times:
        return report.times
    if ready_at is not None and report.created_at > ready_at:
        return report.times
    # Of different clocks.
    placing_at = min(placing_at, report.times[0].began_at)
    return (StageTime(ReplicaStage.PLACING, placing_at), *report.times)
