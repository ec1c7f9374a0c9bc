"""Which key is next when a model is full: a plain class without asyncio, clock or sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from xinfer.settings import QueueDrop

T = TypeVar("T")

_KEPT_SHARE = 4
"""At most one in so many places is kept for keys that use none now."""
_NEWEST_SHARE = 0.2
"""The weight of a key's last request in what its next one is expected to generate."""


@dataclass(slots=True)
class _KeyLine(Generic[T]):
    """The requests of one key."""

    band: int
    tag: float
    """The start tag of its next request."""
    came_at: float
    """When its last request came."""
    waiting: deque[tuple[T, float]] = field(default_factory=deque)
    """Each with its cost."""
    running: int = 0
    generated: float = 0.0
    """How many tokens the engine has generated for one of its requests, of late."""


@dataclass(slots=True)
class _Band(Generic[T]):
    """Keys of one priority."""

    virtual: float = 0.0
    """The start tag of the request that was let in last."""
    lines: dict[str, _KeyLine[T]] = field(default_factory=dict)

    def waiting(self) -> Iterator[_KeyLine[T]]:
        return (line for line in self.lines.values() if line.waiting)


class FairQueue(Generic[T]):
    """The requests of one model, by bands, of which 0 goes first, and fair between the keys of a band.

    Within a band this is start-time fair queueing with several requests in service, SFQ(D): each key has a start tag that grows
    by the cost of its requests, and the smallest tag is next (Goyal, Vin and Cheng 1996; Jin, Chase and Kaur 2004). The cost is
    in tokens, estimated when a request begins and corrected when it has ended, as in the virtual token counter of Sheng et al.
    2024. The estimate has the tokens that the key's requests generate on average: without them a key whose long responses are
    under way seems to have used less than one whose short ones are over.

    A key that asks for one thing after the other uses no place between two requests, and would find all of them taken each time;
    so a place is kept for each key that had a request within ``keep_s`` and has none now, a quarter of the places at most (Iyer
    and Druschel 2001 call this anticipation). The first request of any key that uses none may have it.

    With ``depth`` requests waiting, one is dropped for each further one. With ``QueueDrop.GREEDIEST`` that is the last one of
    the key that has most of them waiting in the lowest band (McKenney 1990).
    """

    def __init__(self, depth: int, drop: QueueDrop, keep_s: float) -> None:
        self._depth = depth
        self._drop = drop
        self._keep_s = keep_s
        self._bands: dict[int, _Band[T]] = {}
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def arrive(self, key: str, band: int, item: T, cost: float, now: float, *, again: bool = False) -> T | None:
        """A request waits from now on; returns the one that is dropped for it, if any. It may be the same.

        One that comes ``again``, since its replica was lost, is the next one of its key.
        """
        line = self._line(key, band, now)
        line.came_at = now
        dropped = None
        if self._waiting >= self._depth:
            dropped = self._drop_for(line, item)
        if dropped is item:
            return item
        if not line.waiting:
            line.tag = max(line.tag, self._bands[band].virtual)
        if again:
            line.waiting.appendleft((item, cost))
        else:
            line.waiting.append((item, cost))
        self._waiting += 1
        return dropped

    def take(self, free: int, places: int, now: float) -> T | None:
        """The request that is next, which runs from now on; None if none may begin while ``free`` of ``places`` are free."""
        number = min((number for number, band in self._bands.items() if any(band.waiting())), default=None)
        if number is None:
            return None
        band = self._bands[number]
        lines = list(band.waiting())
        if free <= self._kept(number, places, now):
            # What is left is kept for keys that use no place. It does not matter for which one of them.
            if free <= self._kept(number - 1, places, now):
                return None
            lines = [line for line in lines if not line.running]
        if not lines:
            return None
        line = min(lines, key=lambda each: each.tag)
        item, cost = line.waiting.popleft()
        self._waiting -= 1
        band.virtual = max(band.virtual, line.tag)
        line.tag += cost
        line.running += 1
        return item

    def leave(self, key: str, band: int, item: T) -> None:
        """A request waits no longer: its client has left, or its time is over. One that does not wait is no mistake."""
        line = self._bands[band].lines.get(key)
        if line is None:
            return
        kept = deque(each for each in line.waiting if each[0] != item)
        self._waiting -= len(line.waiting) - len(kept)
        line.waiting = kept

    def end(self, key: str, band: int) -> None:
        """A request that ran is over."""
        self._bands[band].lines[key].running -= 1

    def expected(self, key: str, band: int) -> float:
        """How many tokens the key's next request is likely to generate; 0 if nothing is known of it."""
        known = self._bands.get(band)
        if known is None or key not in known.lines:
            return 0.0
        return known.lines[key].generated

    def charge(self, key: str, band: int, more: float, generated: float) -> None:
        """A request has cost so much ``more`` than was said, or less if negative, and ``generated`` tokens were part of it."""
        line = self._bands[band].lines.get(key)
        if line is not None:
            line.tag += more
            line.generated += _NEWEST_SHARE * (generated - line.generated)

    def forget(self, now: float) -> None:
        """Forget keys that have had nothing here for a while."""
        for number in list(self._bands):
            band = self._bands[number]
            if not any(line.waiting or line.running for line in band.lines.values()):
                # The end of a busy period: nobody has a lead, or a debt, in the next one.
                band.virtual = max((line.tag for line in band.lines.values()), default=band.virtual)
            band.lines = {key: line for key, line in band.lines.items() if not self._is_over(line, band, now)}

    def _is_over(self, line: _KeyLine[T], band: _Band[T], now: float) -> bool:
        idle = not line.waiting and not line.running
        return idle and line.tag <= band.virtual and now - line.came_at > self._keep_s

    def _line(self, key: str, band: int, now: float) -> _KeyLine[T]:
        keys = self._bands.setdefault(band, _Band())
        line = keys.lines.get(key)
        if line is None:
            line = _KeyLine(band, keys.virtual, now)
            keys.lines[key] = line
        return line

    def _kept(self, lowest: int, places: int, now: float) -> int:
        """Places that are kept for keys down to the band ``lowest``: nothing is kept from a key for those of lower bands."""
        kept = 0
        for number, band in self._bands.items():
            if number <= lowest:
                kept += sum(self._is_expected(line, now) for line in band.lines.values())
        return min(kept, places // _KEPT_SHARE)

    def _is_expected(self, line: _KeyLine[T], now: float) -> bool:
        return not line.running and not line.waiting and now - line.came_at <= self._keep_s

    def _drop_for(self, newcomer: _KeyLine[T], item: T) -> T:
        """Which request goes for one that comes; ``item`` if it has to go itself."""
        lowest = max(number for number, band in self._bands.items() if any(band.waiting()))
        if self._drop is QueueDrop.NEWEST or newcomer.band > lowest:
            return item
        most = max(len(line.waiting) for line in self._bands[lowest].waiting())
        if newcomer.band == lowest and len(newcomer.waiting) + 1 >= most:
            return item
        greediest = next(line for line in self._bands[lowest].waiting() if len(line.waiting) == most)
        dropped, _ = greediest.waiting.pop()
        self._waiting -= 1
        return dropped
