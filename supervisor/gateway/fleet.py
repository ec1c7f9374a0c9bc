"""The replicas of one model as the balancer looks at them for every request, and their places on a ring: plain classes."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from operator import is_

from xinfer.messages import ReplicaReport

_POINTS = 32
"""Places of each replica on the ring: with fewer some would have much more of it than others."""
_POINTS_OF_DIGEST = 8


def stable_hash(data: bytes) -> int:
    """64 bits that are the same in every process; Python's own hash of bytes is not."""
    return int.from_bytes(blake2b(data, digest_size=8).digest())


def _points_of(name: str) -> Iterator[int]:
    """Eight of each digest: a supervisor of many models makes many rings."""
    for number in range(_POINTS // _POINTS_OF_DIGEST):
        digest = blake2b(f"{name} {number}".encode(), digest_size=8 * _POINTS_OF_DIGEST).digest()
        yield from struct.unpack(f">{_POINTS_OF_DIGEST}Q", digest)


class Ring:
    """Consistent hashing (Karger et al., 1997): each name has places on a ring, and a point's order is the way round from it.

    All supervisors with the same names agree about it, and a name that comes or goes moves few points only.
    """

    def __init__(self, names: Sequence[str]) -> None:
        places: list[tuple[int, int]] = []
        for number, name in enumerate(names):
            places += [(point, number) for point in _points_of(name)]
        places.sort()
        # Arrays, since a supervisor may have a thousand models.
        self._points = array("Q", [point for point, _ in places])
        self._owners = array("H", [number for _, number in places])
        self._names = names

    def order(self, point: int) -> Iterator[str]:
        """All names, in the order in which they take what is at ``point``."""
        start = bisect_right(self._points, point)
        met: set[int] = set()
        for step in range(len(self._owners)):
            owner = self._owners[(start + step) % len(self._owners)]
            if owner not in met:
                met.add(owner)
                yield self._names[owner]
                if len(met) == len(self._names):
                    return


class Fleet:
    """The replicas of one model that take requests. Made anew when they change, and not for every request."""

    __slots__ = ("_ring", "by_name", "names", "replicas")

    def __init__(self, replicas: Sequence[ReplicaReport]) -> None:
        self.replicas = replicas
        self.names = [each.replica for each in replicas]
        self.by_name = dict(zip(self.names, replicas, strict=True))
        self._ring: Ring | None = None

    def is_of(self, replicas: Sequence[ReplicaReport]) -> bool:
        """Whether these are its replicas, in the same reports."""
        if replicas is self.replicas:
            return True
        if len(replicas) == len(self.replicas) and all(map(is_, replicas, self.replicas)):
            self.replicas = replicas
            return True
        return False

    def order(self, point: int) -> Iterator[str]:
        """As ``Ring.order``."""
        if self._ring is None:
            self._ring = Ring(sorted(self.names))
        return self._ring.order(point)
