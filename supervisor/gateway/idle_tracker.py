"""When this supervisor last used each model, for the registry to know which ones are idle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from xinfer.messages import ModelStatus, Usage


class IdleTracker:
    """Remembers when the last request of each model ended; noting that is all that a request costs.

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
        """The use of those models that have an idle timeout. What is remembered of models that are no more is forgotten."""
        self._ended = {uid: at for uid, at in self._ended.items() if uid in models}
        return {uid: self._usage(model) for uid, model in models.items() if model.spec.idle_timeout_s is not None}

    def _usage(self, model: ModelStatus) -> Usage:
        in_flight = sum(self._in_flight(each.replica) for each in model.replicas)
        return Usage(in_flight, self._now() - self._ended.get(model.spec.uid, -math.inf))
