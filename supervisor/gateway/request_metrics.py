"""What is noted of requests per model: how many, how they ended and how long they took, and when the last one ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from supervisor.gateway.outcome import outcome_of, status_of
from supervisor.gateway.request_line import RequestLine
from supervisor.gateway.request_trace import UNTRACED, RequestTrace
from xinfer.errors import ModelOverloaded
from xinfer.messages import (
    Histogram,
    ModelMetrics,
    ModelStatus,
    Outcome,
    ReplicaLoad,
    RoutingCounts,
    SupervisorLoad,
    Usage,
)

_NOTHING = ModelMetrics()
# A 429 counts as an error: the cluster was too small, the caller did nothing wrong.
_ERRORS = frozenset({Outcome.OVERLOADED, Outcome.FAILED, Outcome.BROKEN})


class TrackedRequest:
    """One request in flight, as a context manager: the exception that leaves it, if any, tells how the request ended."""

    # Slots and plain attributes: every request makes one of these.
    __slots__ = ("_began", "_metrics", "_unanswered", "broken", "line", "resumed", "trace")

    def __init__(self, metrics: ModelMetrics, unanswered: dict[TrackedRequest, float], line: RequestLine) -> None:
        self._metrics = metrics
        self._unanswered = unanswered
        self.line = line
        self.broken = False
        """Set when a response breaks off after its status has been sent."""
        self.resumed = False
        """Set when another replica has gone on with its stream."""
        self.trace: RequestTrace = UNTRACED

    def __enter__(self) -> TrackedRequest:
        self._metrics.in_flight += 1
        self._began = time.monotonic()
        self._unanswered[self] = self._began
        return self

    @property
    def routing(self) -> RoutingCounts:
        """Where the choice of a replica is counted."""
        return self._metrics.routing

    @property
    def inter_token(self) -> Histogram:
        """Takes the seconds between two chunks of the stream."""
        return self._metrics.inter_token

    def retried(self) -> None:
        """The request is sent once more, since its replica was lost."""
        self._metrics.retries += 1

    def awake(self) -> None:
        """The model has woken up for this request."""
        self._metrics.wake_wait.observe(time.monotonic() - self._began)

    def responded(self, streams: bool) -> None:
        """The first byte of the engine's response is there; ``streams`` if the response is a stream of tokens."""
        seconds = time.monotonic() - self._began
        self._unanswered.pop(self, None)
        self._metrics.time_to_response.observe(seconds)
        # A response that does not stream begins when its last token is there: it says nothing about the first one.
        if streams:
            self._metrics.time_to_first_token.observe(seconds)
            self.line.first_token_s = seconds

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        metrics = self._metrics
        self._unanswered.pop(self, None)
        metrics.in_flight -= 1
        metrics.requests += 1
        metrics.resumed += self.resumed
        duration_s = time.monotonic() - self._began
        metrics.duration.observe(duration_s)
        outcome = outcome_of(error, broken=self.broken)
        metrics.outcomes[outcome] += 1
        metrics.errors += outcome in _ERRORS
        metrics.refused += isinstance(error, ModelOverloaded)
        self.trace.took(self.line)
        self.line.write(outcome, status_of(error), duration_s)


class RequestMetrics:
    """The metrics of one supervisor, by model UID."""

    def __init__(self) -> None:
        self._metrics: dict[str, ModelMetrics] = {}
        # By model, when each request began of which nothing has come back yet; the oldest one comes first.
        self._unanswered: dict[str, dict[TrackedRequest, float]] = {}
        self._load: Callable[[str], ReplicaLoad] = lambda _: ReplicaLoad()

    def read_replicas(self, load: Callable[[str], ReplicaLoad]) -> None:
        """Have ``load`` say what each replica has got from here."""
        self._load = load

    def count(self, uid: str, request_id: str = "", path: str = "") -> TrackedRequest:
        """Count one request of this model, which has to be one that the registry knows: UIDs become metric labels.

        ``request_id`` and ``path`` are for its line in the log.
        """
        metrics = self._metrics.get(uid)
        if metrics is None:
            metrics = ModelMetrics()
            self._metrics[uid] = metrics
            self._unanswered[uid] = {}
        return TrackedRequest(metrics, self._unanswered[uid], RequestLine(request_id, path, uid))

    def snapshot(self, models: Mapping[str, ModelStatus]) -> dict[str, ModelMetrics]:
        """The metrics of ``models``. Those of other models are dropped once nothing of them is in flight."""
        self._metrics = {uid: each for uid, each in self._metrics.items() if uid in models or each.in_flight}
        self._unanswered = {uid: self._unanswered[uid] for uid in self._metrics}
        known = {uid: each for uid, each in self._metrics.items() if uid in models}
        for uid, metrics in known.items():
            metrics.replicas = {target.replica: self._load(target.replica) for target in models[uid].targets}
        return known

    def load(self, model: ModelStatus) -> SupervisorLoad:
        """What this supervisor has to do for one model now."""
        metrics = self._metrics.get(model.spec.uid, _NOTHING)
        oldest = next(iter(self._unanswered.get(model.spec.uid, {}).values()), None)
        in_flight = {report.replica: self._load(report.replica).in_flight for report in model.replicas}
        return SupervisorLoad(
            in_flight=metrics.in_flight,
            arrived=metrics.requests + metrics.in_flight,
            refused=metrics.refused,
            oldest_unanswered_s=0.0 if oldest is None else time.monotonic() - oldest,
            first_tokens=tuple(metrics.time_to_first_token.counts),
            replicas={replica: count for replica, count in in_flight.items() if count},
        )


class IdleTracker:
    """When this supervisor last used each model, for the registry to know which ones are idle.

    ``in_flight`` says how many requests are under way at a replica, by its name.
    """

    def __init__(self, in_flight: Callable[[str], int], now: Callable[[], float] = time.monotonic) -> None:
        self._in_flight = in_flight
        self._now = now
        self._ended: dict[str, float] = {}

    def note(self, uid: str) -> None:
        """A request of this model has ended."""
        self._ended[uid] = self._now()

    def usages(self, models: Mapping[str, ModelStatus]) -> dict[str, Usage]:
        """The use of those of ``models`` that have an idle timeout or requests under way.

        The registry takes all others for unused, of which there may be a thousand.
        """
        # What is remembered of models that are gone is forgotten.
        self._ended = {uid: at for uid, at in self._ended.items() if uid in models}
        usages = {uid: self._usage(model) for uid, model in models.items()}
        return {
            uid: each for uid, each in usages.items() if each.in_flight or models[uid].spec.idle_timeout_s is not None
        }

    def _usage(self, model: ModelStatus) -> Usage:
        in_flight = sum(self._in_flight(each.replica) for each in model.replicas)
        return Usage(in_flight, self._now() - self._ended.get(model.spec.uid, -math.inf))
