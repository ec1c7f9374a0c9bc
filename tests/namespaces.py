"""Nodes in network namespaces of this machine: addresses of their own, and a link to each that can be cut."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Sequence

_LONGEST_NAME = 15


def possible() -> bool:
    """Whether this process may make namespaces."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    name = f"xi-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return False
    _ip("netns", "delete", name)
    return True


class Network:
    """A bridge of this machine's own namespace, which is node 1, with the namespaces of others at it."""

    def __init__(self) -> None:
        number = random.randrange(1 << 14)
        self._name = f"xib{number}"
        self._subnet = f"10.{64 + (number >> 8)}.{number & 255}"
        self.hosts: list[Host] = []
        _ip("link", "add", self._name, "type", "bridge")
        _ip("address", "add", f"{self.address}/24", "dev", self._name)
        _ip("link", "set", self._name, "up")

    @property
    def address(self) -> str:
        """Of this machine's own namespace."""
        return f"{self._subnet}.1"

    def add_host(self) -> Host:
        number = len(self.hosts) + 2
        host = Host(f"{self._name}-{number}"[:_LONGEST_NAME], self._name, f"{self._subnet}.{number}")
        self.hosts.append(host)
        return host

    def remove(self) -> None:
        """With everything at it."""
        for host in self.hosts:
            host.remove()
        _ip("link", "delete", self._name)


class Host:
    """One namespace with one address."""

    def __init__(self, name: str, bridge: str, address: str) -> None:
        self.address = address
        self._name = name
        self._bridge = bridge
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("link", "set", name, "up")
        self.mend()

    def cut(self) -> None:
        """From now on every packet in both directions is lost; nobody is told."""
        _ip("link", "set", self._name, "nomaster")

    def mend(self) -> None:
        _ip("link", "set", self._name, "master", self._bridge)

    def inside(self, words: Sequence[str]) -> list[str]:
        """The command that runs ``words`` there."""
        return ["ip", "netns", "exec", self._name, *words]

    def remove(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("netns", "delete", self._name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
