"""Memory of a node that engines are going to take, from the check of it until they have it: two must not count on the same."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil

from worker.memory.node_memory import Memory


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one engine is going to take."""

    owner: str
    """Its replica."""
    size: int
    """Bytes of each of its GPUs, or of the machine if it has none."""
    gpus: tuple[str, ...] = ()
    pid: int = 0
    """The process of its replica: with it the reservation ends."""
    started: float = 0.0
    """When that process began: process ids come again."""


@dataclass
class Reservations:
    """Those of one node."""

    held: dict[str, Reservation] = field(default_factory=dict)

    def left(self, memories: Sequence[Memory], gpus: Sequence[str], owner: str) -> list[Memory]:
        """``memories``, of ``gpus`` or of the machine, without what others than ``owner`` have reserved."""
        if not gpus:
            return [_without(memories[0], self._size(None, owner))]
        return [_without(memory, self._size(gpu, owner)) for memory, gpu in zip(memories, gpus, strict=True)]

    def others(self, gpus: Sequence[str], owner: str) -> bool:
        """Whether others have reserved anything there."""
        return any(self._size(gpu, owner) for gpu in gpus or (None,))

    def take(self, reservation: Reservation) -> None:
        self.held[reservation.owner] = reservation

    def _size(self, gpu: str | None, owner: str) -> int:
        size = 0
        for each in self.held.values():
            on_it = gpu in each.gpus if gpu is not None else not each.gpus
            if on_it and each.owner != owner:
                size += each.size
        return size


class Ledger:
    """The reservations of a node in a file, which its replicas read and write one after the other."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextlib.contextmanager
    def turn(self) -> Iterator[Reservations]:
        """The reservations of processes that live; what is done to them is kept. Blocks while another replica has its turn."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            found = [each for each in _read(file.read()) if _lives(each)]
            reservations = Reservations({each.owner: each for each in found})
            yield reservations
            file.seek(0)
            file.truncate()
            json.dump([asdict(each) for each in reservations.held.values()], file)

    def reserve(self, reservations: Reservations, owner: str, size: int, gpus: Sequence[str]) -> None:
        """Have this process hold so much in its turn."""
        pid = os.getpid()
        reservations.take(Reservation(owner, size, tuple(gpus), pid, psutil.Process(pid).create_time()))

    def release(self, owner: str) -> None:
        """It has the memory now, or wants none any more. Nothing happens if it holds nothing."""
        with self.turn() as reservations:
            reservations.held.pop(owner, None)


def _without(memory: Memory, size: int) -> Memory:
    return replace(memory, free_bytes=max(0, memory.free_bytes - size))


def _read(text: str) -> list[Reservation]:
    """None of a file that was cut off while it was written: the replica that wrote it has ended."""
    try:
        return [Reservation(**{**each, "gpus": tuple(each["gpus"])}) for each in json.loads(text or "[]")]
    except (ValueError, TypeError, KeyError):
        return []


def _lives(reservation: Reservation) -> bool:
    try:
        return psutil.Process(reservation.pid).create_time() == reservation.started
    except psutil.NoSuchProcess:
        return False
