"""A made-up model whose replicas come up and serve, and the loads that an autoscaler would see of it. Time is a number."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from supervisor.registry.autoscaling.load import Load

TICK_S = 0.5


@dataclass
class Cluster:
    """Replicas with ``slots`` places, each of which serves one request for ``service_s`` seconds on average.

    A request that finds no place waits in one queue for all replicas. New replicas take ``start_s`` to come up; those that go
    finish what they have, and count until then.
    """

    slots: int = 8
    service_s: float = 4.0
    start_s: float = 8.0
    seed: int = 1
    ready: int = 1
    now: float = 0.0
    starting: list[float] = field(default_factory=list)
    running: list[float] = field(default_factory=list)
    queue: deque[float] = field(default_factory=deque)
    first_tokens: deque[tuple[float, float]] = field(default_factory=deque)
    arrived: deque[int] = field(default_factory=lambda: deque(maxlen=int(5 / TICK_S)))
    """In each of the last ticks."""
    waits: list[float] = field(default_factory=list)
    """How long each request waited for its place."""
    replica_s: float = 0.0
    changes: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def desired(self) -> int:
        return self.ready + len(self.starting)

    @property
    def in_flight(self) -> int:
        return len(self.running) + len(self.queue)

    def scale(self, replicas: int) -> None:
        """Have so many from now on."""
        if replicas == self.desired:
            return
        self.changes += 1
        for _ in range(replicas - self.desired):
            self.starting.append(self.now + self.start_s)
        while self.desired > replicas and self.starting:
            self.starting.pop()
        self.ready -= max(0, self.desired - replicas)

    def tick(self, arrivals: int) -> None:
        """Go on by ``TICK_S``; so many requests arrive at its beginning."""
        self.now += TICK_S
        come = [at for at in self.starting if at <= self.now]
        self.starting = [at for at in self.starting if at > self.now]
        self.ready += len(come)
        self.running = [end for end in self.running if end > self.now]
        self.arrived.append(arrivals)
        self.queue.extend([self.now] * arrivals)
        while self.queue and len(self.running) < self.ready * self.slots:
            waited = self.now - self.queue.popleft()
            self.waits.append(waited)
            self.first_tokens.append((self.now, waited + 0.1))
            self.running.append(self.now + self._random.expovariate(1 / self.service_s))
        while self.first_tokens and self.first_tokens[0][0] < self.now - 10:
            self.first_tokens.popleft()
        # A replica that goes is paid for until its last request has ended.
        held = -(-len(self.running) // self.slots)
        self.replica_s += max(self.desired, held) * TICK_S

    def load(self) -> Load:
        """What there is to see of it."""
        ttfts = sorted(ttft for _, ttft in self.first_tokens)
        waiting = len(self.queue)
        running = min(len(self.running), self.ready * self.slots)
        return Load(
            desired=self.desired,
            ready=self.ready,
            starting=len(self.starting),
            in_flight=self.in_flight,
            running=running,
            waiting=waiting,
            full=self.ready if waiting else 0,
            running_in_full=running if waiting else 0,
            oldest_wait_s=self.now - self.queue[0] if waiting else 0.0,
            arrivals_per_s=sum(self.arrived) / (len(self.arrived) * TICK_S) if self.arrived else 0.0,
            kv_cache_usage=0.5 * running / self.slots,
            ttft_p90_s=ttfts[int(0.9 * (len(ttfts) - 1))] if ttfts else None,
        )


def run(cluster: Cluster, arrivals: Sequence[int], decide: Callable[[Cluster], int]) -> list[int]:
    """Let requests arrive, so many in each tick, and do what ``decide`` says; returns the desired number in each."""
    desired: list[int] = []
    for count in arrivals:
        cluster.tick(count)
        cluster.scale(decide(cluster))
        desired.append(cluster.desired)
    return desired


def poisson(rates: Sequence[float], seed: int) -> list[int]:
    """Arrivals in each tick at these rates, in requests per second."""
    source = random.Random(seed)
    counts: list[int] = []
    for rate in rates:
        count, passed_s = 0, source.expovariate(rate) if rate > 0 else TICK_S
        while passed_s < TICK_S:
            count += 1
            passed_s += source.expovariate(rate)
        counts.append(count)
    return counts
