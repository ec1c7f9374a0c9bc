"""Tells the registry what is in flight from here, and hears what all supervisors have in flight together."""

from __future__ import annotations

import asyncio
import random

from supervisor.gateway.balancer import Balancer
from supervisor.registry.client import RegistryClient
from xinfer.errors import Unavailable
from xinfer.messages import ClusterLoad

_PERIOD_S = 0.25
_LONGEST_PERIOD_S = 1.0
# So many supervisors and more take the longest period: each is told of all, which costs the registry their square.
_MANY = 40
_ALONE_PERIOD_S = 2.0
_JITTER = 0.2
_STALE_S = 5.0


def exchange_period_s(supervisors: int) -> float:
    """Between two exchanges of each of so many supervisors."""
    if supervisors == 1:
        return _ALONE_PERIOD_S
    return max(_PERIOD_S, _LONGEST_PERIOD_S * min(1.0, supervisors / _MANY))


class SharedLoads:
    """Keeps a balancer told. While the registry is away, what others had in flight is soon no guide any more."""

    def __init__(self, balancer: Balancer, registry: RegistryClient, supervisor_id: str) -> None:
        self._balancer = balancer
        self._registry = registry
        self._supervisor_id = supervisor_id

    async def run(self) -> None:
        """Exchange loads until it is cancelled."""
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while True:
            reported = self._balancer.all_in_flight()
            try:
                load = await self._registry.exchange_loads(self._supervisor_id, reported, self._balancer.news())
                heard_at = loop.time()
                self._balancer.hear(load, reported)
            except Unavailable:
                if loop.time() - heard_at > _STALE_S:
                    self._balancer.hear(ClusterLoad(self._balancer.supervisors), {})
            period_s = exchange_period_s(self._balancer.supervisors)
            # So that supervisors do not all act on the same news at the same moment.
            await asyncio.sleep(period_s * random.uniform(1 - _JITTER, 1 + _JITTER))
