"""The protocol between a worker and the fork server, over a Unix socket.

A message is a JSON object after its length in four bytes; file descriptors travel beside it.
"""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from typing import Any

_LENGTH_BYTES = 4
_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """Requests one engine server.

    Two descriptors travel beside it: the engine's log, and the read end of the worker's death pipe.
    """

    arguments: list[str]
    """Arguments of vLLM's server, without the program."""
    env: dict[str, str]
    """The engine's whole environment."""
    folder: str
    """The engine's working directory."""

    def dump(self) -> dict[str, Any]:
        return asdict(self)


class Closed(Exception):
    """The other side has closed the connection."""


def send(connection: socket.socket, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    payload = json.dumps(message).encode()
    framed = len(payload).to_bytes(_LENGTH_BYTES, "big") + payload

    # The descriptors go with the first byte. What the kernel did not take follows without them.
    sent = socket.send_fds(connection, [framed], list(descriptors))
    if sent < len(framed):
        connection.sendall(framed[sent:])


def receive(connection: socket.socket, descriptors: int = 0) -> tuple[dict[str, Any], list[int]]:
    """Receive one message and up to ``descriptors`` descriptors. Raises ``Closed``."""
    head, files, *_ = socket.recv_fds(connection, _LENGTH_BYTES, descriptors)
    if not head:
        raise Closed
    head += _receive_exactly(connection, _LENGTH_BYTES - len(head))

    length = int.from_bytes(head, "big")
    if length > _MAX_BYTES:
        raise Closed
    return json.loads(_receive_exactly(connection, length)), files


def _receive_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise Closed
        data += more
    return data
