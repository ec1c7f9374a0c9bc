"""What is noted of requests per model: how many, how they ended and how long they took, and when the last one ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from xinfer.errors import XinferError
from xinfer.messages import ModelMetrics, ModelStatus, ReplicaLoad, Usage

_OVERLOADED = 429


class TrackedRequest:
    """One request in flight, as a context manager: the exception that leaves it, if any, tells how the request ended."""

    # Slots and plain attributes: every request makes one of these.
    __slots__ = ("_began", "_metrics", "broken", "resumed")

    def __init__(self, metrics: ModelMetrics) -> None:
        self._metrics = metrics
        self.broken = False
        """Set when a response breaks off after its status has been sent."""
        self.resumed = False
        """Set when another replica has gone on with its stream."""

    def __enter__(self) -> TrackedRequest:
        self._metrics.in_flight += 1
        self._began = time.monotonic()
        return self

    def responded(self, streams: bool) -> None:
        """The first byte of the engine's response is there; ``streams`` if the response is a stream of tokens."""
        seconds = time.monotonic() - self._began
        self._metrics.time_to_response.observe(seconds)
        # A response that does not stream begins when its last token is there: it says nothing about the first one.
        if streams:
            self._metrics.time_to_first_token.observe(seconds)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        metrics = self._metrics
        metrics.in_flight -= 1
        metrics.requests += 1
        metrics.resumed += self.resumed
        metrics.duration.observe(time.monotonic() - self._began)
        # A 429 counts as an error: the cluster was too small, the caller did nothing wrong.
        is_ours = isinstance(error, XinferError) and (error.status >= 500 or error.status == _OVERLOADED)
        if self.broken or is_ours:
            metrics.errors += 1


class RequestMetrics:
    """The metrics of one supervisor, by model UID."""

    def __init__(self) -> None:
        self._metrics: dict[str, ModelMetrics] = {}
        self._load: Callable[[str], ReplicaLoad] = lambda _: ReplicaLoad()

    def read_replicas(self, load: Callable[[str], ReplicaLoad]) -> None:
        """Have ``load`` say what each replica has got from here."""
        self._load = load

    def count(self, uid: str) -> TrackedRequest:
        """Count one request of this model, which has to be one that the registry knows: UIDs become metric labels."""
        metrics = self._metrics.get(uid)
        if metrics is None:
            metrics = ModelMetrics()
            self._metrics[uid] = metrics
        return TrackedRequest(metrics)

    def snapshot(self, models: Mapping[str, ModelStatus]) -> dict[str, ModelMetrics]:
        """The metrics of ``models``. Those of other models are dropped once nothing of them is in flight."""
        self._metrics = {uid: each for uid, each in self._metrics.items() if uid in models or each.in_flight}
        known = {uid: each for uid, each in self._metrics.items() if uid in models}
        for uid, metrics in known.items():
            metrics.replicas = {target.replica: self._load(target.replica) for target in models[uid].targets}
        return known


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
        """The use of ``models``, any of which may be told to sleep. What is remembered of others is forgotten."""
        self._ended = {uid: at for uid, at in self._ended.items() if uid in models}
        return {uid: self._usage(model) for uid, model in models.items()}

    def _usage(self, model: ModelStatus) -> Usage:
        in_flight = sum(self._in_flight(each.replica) for each in model.replicas)
        return Usage(in_flight, self._now() - self._ended.get(model.spec.uid, -math.inf))
