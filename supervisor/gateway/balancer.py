"""Which replica takes a request: a plain class without Ray, clock or sockets."""

from __future__ import annotations

import math
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice

from supervisor.gateway.first_tokens import FirstTokens
from supervisor.gateway.fleet import Fleet
from supervisor.gateway.prefix import PrefixMemory, PromptKey
from xinfer.errors import ModelOverloaded
from xinfer.messages import ClusterLoad, ReplicaLoad, ReplicaReport, RoutingCounts, RoutingReason
from xinfer.settings import Routing

# Requests by which a replica may be ahead of the least busy one and still be chosen for its cache ...
_SLACK = 2
# ... plus one for so many that the least busy one has.
_SLACK_SHARE = 4
# Of the ring, among which a new conversation goes to the least busy one.
_PLACES = 2
_MOVED_KEPT = 65_536


class Balancer:
    """Counts what is in flight at each replica and chooses where the next request goes.

    With ``Routing.PREFIX`` that is the replica that knows most of the prompt's beginning among those that are about equally
    busy; of equals, and otherwise, the least busy one, and then the one that was chosen least recently. While one of them is
    far slower than the others, only that and how busy they are counts.

    Where several supervisors give requests to the same replicas, each is told now and then what the others have in flight.
    A ring of hashes puts each conversation in the same place for all of them: at the less busy of two replicas ("The power of
    both choices", Nasir et al., 2015), past those that are too busy ("Consistent hashing with bounded loads", Mirrokni,
    Thorup and Zadimoghaddam, 2016). They tell each other which conversations are elsewhere than at the first one. What
    belongs nowhere goes to the less busy of two replicas taken by chance: by counts that are not of this moment, one replica
    is the least busy one for everybody, and all would run there ("How useful is old information?", Mitzenmacher, 2000).
    """

    def __init__(
        self,
        routing: Routing = Routing.PREFIX,
        first_tokens: FirstTokens | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._routing = routing
        self._memory = PrefixMemory()
        self._in_flight: Counter[str] = Counter()
        self._total = 0
        self._sent: Counter[str] = Counter()
        self._last_chosen: dict[str, int] = {}
        self._choices = 0
        self._first_tokens = first_tokens or FirstTokens()
        self._chance = chance or random.Random()
        self._fleets: dict[str, Fleet] = {}
        # What each replica is thought to have, from here and from others.
        self._busy: dict[str, int] = {}
        self._others: Mapping[str, int] = {}
        self._reported: Mapping[str, int] = {}
        # Requests begun since the others were heard of, and the most of them at one replica.
        self._begun: Counter[str] = Counter()
        self._most_begun = 0
        self._supervisors = 1
        # For how many requests one stands that has begun here since the others were heard of.
        self._weight = 1
        self._moved: OrderedDict[int, str] = OrderedDict()
        self._news: list[tuple[int, str]] = []

    @property
    def supervisors(self) -> int:
        """How many there are, as far as this one was told."""
        return self._supervisors

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

        Raises ``ModelOverloaded`` if each of them has ``limit`` requests already, those of other supervisors included.
        """
        fleet = self._fleet(replicas)
        names = self._free(fleet, limit, avoid)
        if not names:
            uid = replicas[0].model_uid
            raise ModelOverloaded(f"The model {uid!r} has all the requests it can take.", retry_after_s=1)
        if len(names) > 1:
            chosen, reason = self._choose(fleet, names, key)
        else:
            chosen, reason = names[0], RoutingReason.ONLY
        if counts is not None:
            counts.reasons[reason] += 1
            if key is not None:
                counts.blocks += len(key.blocks)
                counts.known_blocks += self._memory.known_blocks(key, chosen)
        self._in_flight[chosen] += 1
        self._total += 1
        # The others see the same counts and do alike, until all are told again; so it is with ends. Taken for all of them, few
        # requests from here would look like many there: the root of their number is what the simulation liked best.
        self._busy[chosen] += self._weight
        if self._supervisors > 1:
            self._begun[chosen] += 1
            self._most_begun = max(self._most_begun, self._begun[chosen])
        self._sent[chosen] += 1
        self._choices += 1
        self._last_chosen[chosen] = self._choices
        if key is not None:
            self._memory.remember(key, chosen)
            if key.home is not None:
                self._note_place(fleet, key.home, chosen)
        return fleet.by_name[chosen]

    def end(self, replica: ReplicaReport) -> None:
        """A request that was begun at ``replica`` is over."""
        name = replica.replica
        self._total -= 1
        self._in_flight[name] -= 1
        if self._in_flight[name] <= 0:
            del self._in_flight[name]
        if name in self._busy:
            self._busy[name] = max(self._in_flight.get(name, 0), self._busy[name] - self._weight)

    def streams(self, replica: ReplicaReport, first_token_s: float) -> None:
        """A stream from ``replica`` has begun so many seconds after its request was sent."""
        self._first_tokens.observe(replica.replica, first_token_s)

    def hear(self, load: ClusterLoad, reported: Mapping[str, int]) -> None:
        """What all supervisors have in flight together; ``reported`` is this one's part of it."""
        self._supervisors = load.supervisors
        self._weight = math.ceil(math.sqrt(load.supervisors))
        for home, name in load.moved:
            self._move(home, name)
        self._reported = reported
        self._begun = Counter({name: count - reported.get(name, 0) for name, count in self._in_flight.items()})
        self._most_begun = max(self._begun.values(), default=0)
        self._others = {name: count - reported.get(name, 0) for name, count in load.in_flight.items()}
        for name in self._busy:
            self._busy[name] = self._known_load(name)

    def forget(self, replicas: Collection[str]) -> None:
        """They are gone from the table."""
        known = frozenset(self._last_chosen.keys() & set(replicas))
        if not known:
            return
        for name in known:
            del self._last_chosen[name]
            del self._busy[name]
            self._sent.pop(name, None)
            self._first_tokens.forget(name)
        self._fleets = {uid: each for uid, each in self._fleets.items() if known.isdisjoint(each.names)}
        self._memory.forget(known)

    def in_flight(self, replica: str | None = None) -> int:
        """Requests under way from here, at one replica or at all."""
        if replica is None:
            return self._total
        return self._in_flight[replica]

    def news(self) -> list[tuple[int, str]]:
        """The conversations that are elsewhere than others would look for them, since the last call."""
        news, self._news = self._news, []
        return news

    def all_in_flight(self) -> dict[str, int]:
        """Requests under way from here, by replica, where there are any."""
        return dict(self._in_flight)

    def load(self, replica: str) -> ReplicaLoad:
        """What one replica has got from here."""
        return ReplicaLoad(self._sent[replica], self._in_flight[replica])

    def _fleet(self, replicas: Sequence[ReplicaReport]) -> Fleet:
        uid = replicas[0].model_uid
        fleet = self._fleets.get(uid)
        if fleet is None or not fleet.is_of(replicas):
            fleet = self._fleets[uid] = Fleet(replicas)
            for name in fleet.names:
                if name not in self._busy:
                    self._busy[name] = self._known_load(name)
                self._last_chosen.setdefault(name, 0)
        return fleet

    def _known_load(self, name: str) -> int:
        return self._in_flight.get(name, 0) + max(0, self._others.get(name, 0))

    def _free(self, fleet: Fleet, limit: int, avoid: Collection[str]) -> list[str]:
        """Those that may take one more. A model may have a hundred: what is usual makes no list of them."""
        names = fleet.names
        if avoid:
            names = [name for name in names if name not in avoid] or names
        if self._supervisors > 1:
            return self._free_among_several(names, limit)
        if self._total < limit:
            return names
        # ``get``, since a Counter makes a call of each key that it has not.
        in_flight = self._in_flight.get
        return [name for name in names if in_flight(name, 0) < limit]

    def _free_among_several(self, names: list[str], limit: int) -> list[str]:
        """What is left of a replica's limit is shared evenly until all are told again: together they do not exceed it."""
        # Mostly none is near it, and then nobody is looked at more closely.
        if max(map(self._busy.__getitem__, names)) + (self._supervisors - 1) * self._most_begun < limit:
            return names
        return [name for name in names if self._most_in_flight(name) < limit]

    def places(self, replica: str, limit: int) -> int:
        """How many more requests from here one replica may have, until this supervisor hears of the others again."""
        if self._supervisors == 1:
            return max(0, limit - self._in_flight[replica])
        left = limit - self._most_in_flight(replica)
        return max(0, -(-left // self._supervisors))

    def _most_in_flight(self, name: str) -> int:
        """What a replica has if all others have begun as much there as this one since they were heard of."""
        own = self._in_flight.get(name, 0)
        grown = max(0, own - self._reported.get(name, 0))
        return own + max(0, self._others.get(name, 0)) + (self._supervisors - 1) * grown

    def _choose(self, fleet: Fleet, names: list[str], key: PromptKey | None) -> tuple[str, RoutingReason]:
        if self._routing is Routing.ROUND_ROBIN:
            return min(names, key=self._last_chosen.__getitem__), RoutingReason.ROUND_ROBIN
        slowness = self._first_tokens.slowness(names)
        if slowness:
            return min(names, key=lambda name: self._busyness_of_slow(name, slowness)), RoutingReason.FASTEST
        least = min(map(self._busy.__getitem__, names))
        if key is not None and (known := self._place_of(fleet, names, key, least)):
            return known, RoutingReason.PREFIX
        if self._supervisors > 1:
            return self._less_busy_of_two(names), RoutingReason.LEAST_BUSY
        return self._first_of([name for name in names if self._busy[name] == least]), RoutingReason.LEAST_BUSY

    def _busyness_of_slow(self, name: str, slowness: Mapping[str, float]) -> tuple[float, int]:
        """How busy it would be with one more request, where that takes so many times as long."""
        requests = self._busy[name] + 1
        return requests * slowness.get(name, 1.0), self._last_chosen[name]

    def _place_of(self, fleet: Fleet, names: list[str], key: PromptKey, least: int) -> str | None:
        """Where the prompt is known, or belongs, among those that are not much busier than the least busy one."""
        bound = least + _SLACK + least // _SLACK_SHARE
        fits = self._fits(fleet, names, bound)
        if key.home is None or self._supervisors == 1:
            known, _ = self._memory.best(key, fits)
            return self._least_busy(known) if known else None

        moved = self._moved.get(key.home)
        if moved and fits(moved):
            return moved
        # What many conversations begin with is known in many places, and says little of this one.
        known, _ = self._memory.best(key, fits, beyond=key.opening_blocks)
        if known:
            return self._least_busy(known)
        fitting = (name for name in fleet.order(key.home) if fits(name))
        return min(islice(fitting, _PLACES), key=self._busy.__getitem__, default=None)

    def _note_place(self, fleet: Fleet, home: int, chosen: str) -> None:
        if self._supervisors == 1:
            return
        looked_for = self._moved.get(home) or next(fleet.order(home))
        if chosen != looked_for:
            self._move(home, chosen)
            self._news.append((home, chosen))

    def _move(self, home: int, name: str) -> None:
        self._moved[home] = name
        self._moved.move_to_end(home)
        if len(self._moved) > _MOVED_KEPT:
            self._moved.popitem(last=False)

    def _fits(self, fleet: Fleet, names: list[str], bound: int) -> Callable[[str], bool]:
        busy = self._busy
        # Other models' prompts have other blocks, but one replica may be free and another not.
        among: Collection[str] = fleet.by_name if names is fleet.names else frozenset(names)

        def fits(name: str) -> bool:
            return name in among and busy[name] <= bound

        return fits

    def _least_busy(self, names: Sequence[str]) -> str:
        if len(names) == 1:
            return names[0]
        least = min(map(self._busy.__getitem__, names))
        return self._first_of([name for name in names if self._busy[name] == least])

    def _first_of(self, names: Sequence[str]) -> str:
        """The one that was chosen least recently."""
        return min(names, key=self._last_chosen.__getitem__)

    def _less_busy_of_two(self, names: Sequence[str]) -> str:
        one = int(self._chance.random() * len(names))
        further = 1 + int(self._chance.random() * (len(names) - 1))
        return self._least_busy((names[one], names[(one + further) % len(names)]))
