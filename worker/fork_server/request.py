"""What a worker and the host say to each other: messages of JSON over a Unix socket, with file descriptors beside them."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from typing import Any

_LENGTH_BYTES = 4
_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """Fork one engine server. Beside it travel two descriptors: its log, and the reading end of the worker's lifeline."""

    arguments: list[str]
    """Those of vLLM's server, without the program."""
    env: dict[str, str]
    """Its whole environment."""
    folder: str
    """Its working directory."""

    def dump(self) -> dict[str, Any]:
        return asdict(self)


class Closed(Exception):
    """The other side is gone."""


def send(connection: socket.socket, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    payload = json.dumps(message).encode()
    framed = len(payload).to_bytes(_LENGTH_BYTES, "big") + payload
    sent = socket.send_fds(connection, [framed], list(descriptors))
    if sent < len(framed):
        connection.sendall(framed[sent:])


def receive(connection: socket.socket, descriptors: int = 0) -> tuple[dict[str, Any], list[int]]:
    """One message and up to ``descriptors`` descriptors; ``Closed`` if the other side has left."""
    head, files, *_ = socket.recv_fds(connection, _LENGTH_BYTES, descriptors)
    head += _exactly(connection, _LENGTH_BYTES - len(head)) if head else b""
    if not head:
        raise Closed
    length = int.from_bytes(head, "big")
    if length > _MAX_BYTES:
        raise Closed
    return json.loads(_exactly(connection, length)), files


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise Closed
        data += more
    return data
