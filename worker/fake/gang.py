"""How the parts of a fake engine that spans nodes find each other, as vLLM's do: the leader listens, the others connect."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

_RETRY_S = 0.1
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class FakeSeat:
    """``worker.gang.seat.Seat`` as the command line has it."""

    rank: int
    size: int
    master_host: str
    master_port: int


def await_followers(seat: FakeSeat) -> list[socket.socket]:
    """The connections of all followers, which have to stay open."""
    with socket.create_server((seat.master_host, seat.master_port)) as listener:
        listener.settimeout(_PATIENCE_S)
        ranks: dict[int, socket.socket] = {}
        while len(ranks) < seat.size - 1:
            connection, _ = listener.accept()
            ranks[connection.recv(1)[0]] = connection
    return list(ranks.values())


def follow(seat: FakeSeat) -> None:
    """Connect to the leader, and go on after its end: so does a part of vLLM that waits for others."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            connection = socket.create_connection((seat.master_host, seat.master_port))
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)
    connection.sendall(bytes([seat.rank]))
    while True:
        time.sleep(3600)
