"""The ingress of one node of several: HAProxy at the node's own address, before the supervisors of that node.

Serve writes the same configuration for every node: one front end at the address that the head was started with, where no other
node can listen, and all supervisors alike. Nodes on one machine would take the address from each other.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ON_EACH_NODE = "XINFER_INGRESS_ON_EACH_NODE"
"""Set on a head whose cluster has an ingress on each node. Other nodes have none otherwise."""
_ADDRESS = "--node_ip_address="
_HEAD = "--head"
_ELSEWHERE = "haproxy-elsewhere"
_EVERYWHERE = "*"
_BIND = re.compile(r"^(frontend http_frontend\n\s*bind )(\S+):(\d+)$", re.MULTILINE)
_METRICS = re.compile(r"(?<!frontend http_frontend\n)^(\s*bind )\*?(:\d+)$", re.MULTILINE)
# Serve names servers of its own node by the loopback interface, all others by the addresses of their nodes.
_HERE = re.compile(r"^(\s*server \S+ )127\.0\.0\.1:", re.MULTILINE)
_SERVER = re.compile(r"^(\s*server \S+ )(\S+):(\d+)( check(?!.* backup).*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class IngressNode:
    """The node of an HAProxy, as its raylet was started."""

    address: str
    is_head: bool

    @classmethod
    def of_raylet(cls, command: Sequence[str]) -> IngressNode | None:
        """None if ``command`` is not a raylet's."""
        address = next((word.removeprefix(_ADDRESS) for word in command if word.startswith(_ADDRESS)), None)
        if address is None:
            return None
        return cls(address, _HEAD in command)

    def is_one_of_many(self, environment: Mapping[str, str] = os.environ) -> bool:
        """Whether other nodes have an ingress, too."""
        return not self.is_head or bool(environment.get(ON_EACH_NODE))

    @property
    def loopback(self) -> str:
        """Where HAProxy shows its metrics to this node alone; nodes on one machine have one each."""
        if self.address.startswith("127."):
            return self.address
        return "127.0.0.1"

    def configuration(self, config: str) -> str:
        """``config`` for this node.

        The head listens where it was told to, and every node at its own address. Supervisors of other nodes get requests only
        while none is up here: so a node that cannot be reached does no harm to requests that come to others.
        """
        config = _METRICS.sub(rf"\g<1>{self.loopback}\2", config)
        config = _BIND.sub(self._bind, config)
        config = _HERE.sub(rf"\g<1>{self.address}:", config)
        return _SERVER.sub(self._server, config)

    def _bind(self, found: re.Match[str]) -> str:
        host, port = found[2], found[3]
        if host == _EVERYWHERE:
            return found[0]
        if self.is_head and host != self.address:
            return f"{found[1]}{host}:{port},{self.address}:{port}"
        return f"{found[1]}{self.address}:{port}"

    def _server(self, found: re.Match[str]) -> str:
        if found[2] == self.address:
            return found[0]
        return f"{found[0]} backup"


def keep_to_owner(folder: Path, own: Path) -> None:
    """Keep others out of HAProxy's files, whose admin socket is open to all who reach it.

    Serve takes the folder's path from the head, so that on another machine it is not below this node's ``own``, and makes it
    there for everybody; ``own`` then says where it is, for ``remove_elsewhere``.
    """
    folder.chmod(0o700)
    if own in folder.parents:
        return
    note = own / _ELSEWHERE
    note.unlink(missing_ok=True)
    note.symlink_to(folder)


def remove_elsewhere(own: Path) -> None:
    """Remove the files of this node's HAProxy that are not below ``own``."""
    note = own / _ELSEWHERE
    if not note.is_symlink():
        return
    folder = note.readlink()
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        # Other nodes of this machine may have theirs beside it.
        folder.parent.rmdir()
