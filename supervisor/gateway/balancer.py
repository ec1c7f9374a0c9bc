"""Which replica takes a request: a plain class without Ray, clock or sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from supervisor.gateway.first_tokens import FirstTokens
from supervisor.gateway.prefix import PrefixMemory, PromptKey
from xinfer.errors import ModelOverloaded
from xinfer.messages import ReplicaLoad, ReplicaReport, RoutingCounts, RoutingReason
from xinfer.settings import Routing

# Requests by which a replica may be ahead of the least busy one and still be chosen for its cache ...
_SLACK = 2
# ... plus one for so many that the least busy one has.
_SLACK_SHARE = 4


class Balancer:
    """Counts what is in flight at each replica, from here, and chooses where the next request goes.

    With ``Routing.PREFIX`` that is the replica that knows most of the prompt's beginning among those that are about equally
    busy; of equals, and otherwise, the least busy one, and then the one that was chosen least recently. While one of them is
    far slower than the others, only that and how busy they are counts.
    """

    def __init__(self, routing: Routing = Routing.PREFIX, first_tokens: FirstTokens | None = None) -> None:
        self._routing = routing
        self._memory = PrefixMemory()
        self._in_flight: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()
        self._last_chosen: dict[str, int] = {}
        self._choices = 0
        self._first_tokens = first_tokens or FirstTokens()

    def wants_key(self, replicas: Sequence[ReplicaReport]) -> bool:
        """Whether a prompt's key would make a difference."""
        return self._routing is Routing.PREFIX and len(replicas) > 1

    def begin(
        self,
        replicas: Sequence[ReplicaReport],
        limit: int,
        key: PromptKey | None = None,
        avoid: Collection[str] = (),
        counts: RoutingCounts | None = None,
    ) -> ReplicaReport:
        """Choose one, preferably none of ``avoid``, and count a request there until ``end``; ``counts`` gets the reason.

        Raises ``ModelOverloaded`` if each of them has ``limit`` requests already.
        """
        candidates = replicas
        if avoid:
            candidates = [r for r in replicas if r.replica not in avoid] or replicas
        # A model may have a hundred replicas: ``get``, since a Counter makes a call of each key that it has not.
        in_flight = self._in_flight.get
        free = [r for r in candidates if in_flight(r.replica, 0) < limit]
        if not free:
            uid = replicas[0].model_uid
            raise ModelOverloaded(f"The model {uid!r} has all the requests it can take.", retry_after_s=1)
        if len(free) > 1:
            chosen, reason = self._choose(free, key)
        else:
            chosen, reason = free[0], RoutingReason.ONLY
        if counts is not None:
            counts.reasons[reason] += 1
            if key is not None:
                counts.blocks += len(key.blocks)
                counts.known_blocks += self._memory.known_blocks(key, chosen.replica)
        self._in_flight[chosen.replica] += 1
        self._sent[chosen.replica] += 1
        self._choices += 1
        self._last_chosen[chosen.replica] = self._choices
        if key is not None:
            self._memory.remember(key, chosen.replica)
        return chosen

    def end(self, replica: ReplicaReport) -> None:
        """A request that was begun at ``replica`` is over."""
        self._in_flight[replica.replica] -= 1
        if self._in_flight[replica.replica] <= 0:
            del self._in_flight[replica.replica]

    def streams(self, replica: ReplicaReport, first_token_s: float) -> None:
        """A stream from ``replica`` has begun so many seconds after its request was sent."""
        self._first_tokens.observe(replica.replica, first_token_s)

    def forget(self, replicas: Collection[str]) -> None:
        """They are gone from the table."""
        known = frozenset(self._last_chosen.keys() & set(replicas))
        for name in known:
            del self._last_chosen[name]
            del self._sent[name]
            self._first_tokens.forget(name)
        if known:
            self._memory.forget(known)

    def in_flight(self, replica: str | None = None) -> int:
        """Requests under way from here, at one replica or at all."""
        if replica is None:
            return self._in_flight.total()
        return self._in_flight[replica]

    def load(self, replica: str) -> ReplicaLoad:
        """What one replica has got from here."""
        return ReplicaLoad(self._sent[replica], self._in_flight[replica])

    def _choose(self, free: Sequence[ReplicaReport], key: PromptKey | None) -> tuple[ReplicaReport, RoutingReason]:
        if self._routing is Routing.ROUND_ROBIN:
            return min(free, key=self._turn), RoutingReason.ROUND_ROBIN
        slowness = self._first_tokens.slowness([r.replica for r in free])
        if slowness:
            return min(free, key=lambda r: self._busyness_of_slow(r, slowness)), RoutingReason.FASTEST
        if key is not None and (known := self._knowing(free, key)):
            return known, RoutingReason.PREFIX
        return min(free, key=self._busyness), RoutingReason.LEAST_BUSY

    def _busyness_of_slow(self, replica: ReplicaReport, slowness: Mapping[str, float]) -> tuple[float, int]:
        """As ``_busyness``, where one more request would take so many times as long."""
        requests = self._in_flight[replica.replica] + 1
        return requests * slowness.get(replica.replica, 1.0), self._turn(replica)

    def _knowing(self, free: Sequence[ReplicaReport], key: PromptKey) -> ReplicaReport | None:
        """The one that knows most of the prompt, among those that are not much busier than the least busy one."""
        in_flight = self._in_flight.get
        counts = [in_flight(r.replica, 0) for r in free]
        least = min(counts)
        bound = least + _SLACK + least // _SLACK_SHARE
        even = {r.replica: r for r, count in zip(free, counts, strict=True) if count <= bound}
        matches = self._memory.matches(key, frozenset(even))
        if not matches:
            return None
        best = max(matches.values())
        return min((even[name] for name, match in matches.items() if match == best), key=self._busyness)

    def _busyness(self, replica: ReplicaReport) -> tuple[int, int]:
        return self._in_flight[replica.replica], self._turn(replica)

    def _turn(self, replica: ReplicaReport) -> int:
        return self._last_chosen.get(replica.replica, 0)
