"""When this supervisor last used each model, for the registry to know which ones are idle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from xinfer.messages import Route, Usage


class LastUse:
    """Remembers when the last request of each model ended; noting that is all that a request costs.

    ``in_flight`` says how many requests are under way at a replica, by its name.
    """

    def __init__(self, in_flight: Callable[[str], int], now: Callable[[], float] = time.monotonic) -> None:
        self._in_flight, self._now = in_flight, now
        self._ended: dict[str, float] = {}

    def note(self, uid: str) -> None:
        """A request of this model has ended."""
        self._ended[uid] = self._now()

    def usages(self, routes: Mapping[str, Route]) -> dict[str, Usage]:
        """The use of those models that have an idle timeout. What is remembered of models that are no more is forgotten."""
        self._ended = {uid: at for uid, at in self._ended.items() if uid in routes}
        return {uid: self._usage(route) for uid, route in routes.items() if route.spec.idle_timeout_s is not None}

    def _usage(self, route: Route) -> Usage:
        in_flight = sum(self._in_flight(each.replica) for each in route.replicas)
        return Usage(in_flight, self._now() - self._ended.get(route.spec.uid, -math.inf))
