"""How well several supervisors share the replicas of one model: requests in flight at each, and blocks met where they had been.

A clock of its own goes from request to request. Conversations come through any supervisor, which is the worst case: nothing but
what supervisors tell each other, and the ring, has them agree.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush
from statistics import mean

from supervisor.gateway.balancer import Balancer
from supervisor.gateway.prefix import PromptKey
from supervisor.gateway.shared_loads import exchange_period_s
from supervisor.registry.supervisor_loads import SupervisorLoads
from tests.supervisor.samples import report
from xinfer.messages import ClusterLoad, ReplicaReport

_LIMIT = 1024
_SHARED_BLOCKS = 8
_BLOCKS_PER_TURN = 3
_TURNS = 6
_JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Traffic:
    """How many conversations come to how many supervisors and replicas.

    A response takes ``duration_s`` in the mean, and its user then thinks for ``think_s`` before the next turn.
    """

    supervisors: int
    replicas: int = 4
    conversations: int = 200
    duration_s: float = 8.0
    think_s: float = 5.0
    requests: int = 20_000
    agree: bool = True
    """Whether supervisors hear of each other."""


@dataclass(slots=True)
class Result:
    busiest: float
    """Requests in flight at the busiest replica beside the mean of all, in the mean over time."""
    met: float
    """Blocks that were met where they had been, of those that had been anywhere."""


@dataclass(slots=True)
class _Supervisor:
    name: str
    balancer: Balancer
    exchange_at: float


@dataclass(slots=True)
class _Conversation:
    number: int
    turn: int = 0
    at: tuple[_Supervisor, ReplicaReport] | None = None

    def key(self) -> PromptKey:
        shared = tuple(hash(("shared", block)) for block in range(_SHARED_BLOCKS))
        own = tuple(hash((self.number, block)) for block in range(_BLOCKS_PER_TURN * (self.turn + 1)))
        home = random.Random(self.number).getrandbits(64)
        return PromptKey((*shared, *own), home=home, opening_blocks=_SHARED_BLOCKS + 1)

    def go_on(self, step: int) -> None:
        """To the next turn, or after the last one to the first of another conversation."""
        self.at = None
        self.turn += 1
        if self.turn == _TURNS:
            self.number += step
            self.turn = 0


@dataclass(slots=True, order=True)
class _Event:
    at: float
    conversation: _Conversation = field(compare=False)


@dataclass
class SharedReplicas:
    """One run."""

    traffic: Traffic
    seed: int = 1
    now: float = 0.0
    load: Counter[str] = field(default_factory=Counter)
    known: dict[int, set[str]] = field(default_factory=dict)

    def run(self) -> Result:
        traffic = self.traffic
        chance = random.Random(self.seed)
        replicas = [report(f"m-{number}") for number in range(traffic.replicas)]
        loads = SupervisorLoads()
        supervisors = []
        for number in range(traffic.supervisors):
            balancer = Balancer(chance=random.Random(chance.random()))
            balancer.hear(ClusterLoad(traffic.supervisors if traffic.agree else 1), {})
            supervisors.append(_Supervisor(str(number), balancer, chance.random()))
        events: list[_Event] = []
        for number in range(traffic.conversations):
            heappush(events, _Event(chance.random() * (traffic.duration_s + traffic.think_s), _Conversation(number)))
        ratios: list[float] = []
        hits = possible = begun = 0
        while begun < traffic.requests:
            event = heappop(events)
            self.now = event.at
            if traffic.agree:
                self._exchange(supervisors, loads, chance)
            talk = event.conversation
            if talk.at is not None:
                supervisor, where = talk.at
                supervisor.balancer.end(where)
                self.load[where.replica] -= 1
                talk.go_on(traffic.conversations)
                heappush(events, _Event(self.now + chance.expovariate(1 / traffic.think_s), talk))
                continue

            key = talk.key()
            supervisor = supervisors[chance.randrange(len(supervisors))]
            chosen = supervisor.balancer.begin(replicas, _LIMIT, key)
            talk.at = (supervisor, chosen)
            self.load[chosen.replica] += 1
            heappush(events, _Event(self.now + chance.expovariate(1 / traffic.duration_s), talk))
            met, there = self._meet(key, chosen.replica)
            begun += 1
            if begun > traffic.requests // 4:
                hits += met
                possible += there
                counts = [self.load[each.replica] for each in replicas]
                ratios.append(max(counts) / mean(counts))
        return Result(mean(ratios), hits / possible)

    def _exchange(self, supervisors: list[_Supervisor], loads: SupervisorLoads, chance: random.Random) -> None:
        for each in supervisors:
            if each.exchange_at <= self.now:
                reported = each.balancer.all_in_flight()
                each.balancer.hear(loads.exchange(each.name, reported, each.balancer.news(), self.now), reported)
                period_s = exchange_period_s(len(supervisors))
                each.exchange_at = self.now + period_s * chance.uniform(1 - _JITTER, 1 + _JITTER)

    def _meet(self, key: PromptKey, replica: str) -> tuple[int, int]:
        hits = possible = 0
        for block in key.blocks:
            holders = self.known.setdefault(block, set())
            possible += bool(holders)
            hits += replica in holders
            holders.add(replica)
        return hits, possible
