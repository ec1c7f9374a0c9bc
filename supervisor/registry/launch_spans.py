"""The spans of launches, as a plain class: tables go in one after the other, what has come to its end comes out.

The span of a launch has those of its replicas inside, and each of these its stages. Replicas that come later, by waking, scaling
or after a crash, belong to the same trace.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from supervisor.registry.replica_times import stages_of
from xinfer.messages import ModelStatus, ModelTable, ReplicaReport, ReplicaStage, StageTime
from xinfer.traces import LaunchContext

_ENDS = (ReplicaStage.READY, ReplicaStage.FAILED, ReplicaStage.CANCELLED)
Attributes = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class LaunchSpan:
    """One span. Times are Unix times in seconds."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int | None
    began_at: float
    ended_at: float
    attributes: Attributes = field(default_factory=dict)
    error: str = ""
    """Why it has failed; empty if it has not."""


class LaunchSpans:
    """What a registry has found at its start is none of its launches."""

    def __init__(self, table: ModelTable) -> None:
        self._seen = table
        self._in_launch: dict[str, float] = {}
        """By model UID, when it was launched."""

    def observe(self, table: ModelTable) -> list[LaunchSpan]:
        """``table`` is how things are now, or what has changed."""
        if table.version == self._seen.version:
            return []
        before = self._seen.models
        self._seen = table.applied_to(self._seen)
        for uid in before.keys() - self._seen.models.keys():
            self._in_launch.pop(uid, None)
        spans: list[LaunchSpan] = []
        for uid, model in table.models.items():
            spans += self._of_model(before.get(uid), model)
        return spans

    def _of_model(self, old: ModelStatus | None, new: ModelStatus) -> list[LaunchSpan]:
        uid = new.spec.uid
        if old is None or old.spec.created_at != new.spec.created_at:
            old = None
            self._in_launch[uid] = new.spec.created_at
        context = LaunchContext(uid, new.spec.created_at)
        spans: list[LaunchSpan] = []
        for report in _at_their_end(old, new):
            spans += _replica_spans(context, report, stages_of(new, report))
        if uid in self._in_launch and new.times and new.times[-1].stage in _ENDS:
            del self._in_launch[uid]
            spans += _launch_spans(context, new)
        return spans


def _at_their_end(old: ModelStatus | None, new: ModelStatus) -> list[ReplicaReport]:
    """The replicas that have come up since, or failed on their way."""
    if new.restored:
        # They had come up before this registry began.
        return []
    before = {report.replica: report for report in old.replicas} if old else {}
    found: list[ReplicaReport] = []
    for report in new.replicas:
        known = before.get(report.replica)
        if report.stage is ReplicaStage.READY and (known is None or known.stage is not ReplicaStage.READY):
            found.append(report)
    ended = new.ended
    is_news = ended is not None and (old is None or ended != old.ended)
    if ended and is_news and ended.stage is ReplicaStage.FAILED and not _came_up(ended):
        found.append(ended)
    return found


def _came_up(report: ReplicaReport) -> bool:
    return any(time.stage is ReplicaStage.READY for time in report.times)


def _launch_spans(context: LaunchContext, model: ModelStatus) -> list[LaunchSpan]:
    first, last = model.times[0], model.times[-1]
    spec = model.spec
    attributes: Attributes = {
        "gen_ai.request.model": spec.uid,
        "xinfer.family": spec.name,
        "xinfer.replicas": spec.replicas,
        "xinfer.gpus": spec.gpus,
        "xinfer.outcome": last.stage.value,
    }
    error = ""
    if last.stage is ReplicaStage.FAILED:
        error = model.reason or "the launch failed"
    name = f"launch {spec.uid}"
    whole = LaunchSpan(name, context.trace_id, context.span_id, None, first.began_at, last.began_at, attributes, error)
    # The time before its first replica; the rest is in the replicas' spans.
    return [whole, *_stages(context, "launch", context.span_id, model.times[:2])]


def _replica_spans(context: LaunchContext, report: ReplicaReport, times: tuple[StageTime, ...]) -> list[LaunchSpan]:
    if not times:
        return []
    own_id = context.span_of(report.replica)
    attributes: Attributes = {
        "gen_ai.request.model": report.model_uid,
        "xinfer.replica": report.replica,
        "server.address": report.node,
    }
    error = report.info if report.stage is ReplicaStage.FAILED else ""
    first, last = times[0], times[-1]
    whole = LaunchSpan(
        "start replica",
        context.trace_id,
        own_id,
        context.span_id,
        first.began_at,
        last.began_at,
        attributes,
        error,
    )
    return [whole, *_stages(context, report.replica, own_id, times)]


def _stages(context: LaunchContext, part: str, parent_id: int, times: tuple[StageTime, ...]) -> list[LaunchSpan]:
    """A span for each stage but the last one, which has begun and says how it ended."""
    spans: list[LaunchSpan] = []
    for time, following in pairwise(times):
        span_id = context.span_of(f"{part} {time.stage}")
        spans.append(
            LaunchSpan(time.stage.value, context.trace_id, span_id, parent_id, time.began_at, following.began_at)
        )
    return spans
