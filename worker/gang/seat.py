"""The place of a worker among those of its replica."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import Any

import psutil

_IPV6 = 6


@dataclass(frozen=True, slots=True)
class Seat:
    """What a worker has to know to find the others."""

    rank: int
    """0 is the leader."""
    size: int
    master_host: str
    master_port: int
    """Where the leader's engine waits for the others."""

    def arguments(self) -> dict[str, Any]:
        """vLLM's, for this worker."""
        arguments: dict[str, Any] = {
            "distributed_executor_backend": "mp",
            "nnodes": self.size,
            "node_rank": self.rank,
            "master_addr": self.master_host,
            "master_port": self.master_port,
        }
        if self.rank:
            # It has no server.
            arguments |= {"headless": True, "host": None, "port": None, "middleware": None}
        return arguments


def seat_env(host: str) -> dict[str, str]:
    """What has the engines of a gang talk to each other by the address that Ray knows their node by.

    By themselves they would look for one, and could find one that the other nodes do not reach.
    """
    env = {"VLLM_HOST_IP": host}
    interface = interface_of(host, _networks())
    if interface:
        env |= {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface}
    return env


def interface_of(host: str, networks: Mapping[str, list[str]]) -> str | None:
    """The interface that has the address ``host``, or whose network does; None if none has.

    ``networks`` are the addresses of each interface with their prefix, such as ``10.0.0.1/24``.
    """
    address = ip_address(host)
    own = {name: list(map(ip_interface, texts)) for name, texts in networks.items()}
    for name, interfaces in own.items():
        if any(interface.ip == address for interface in interfaces):
            return name
    # Every address of 127.0.0.0/8 belongs to the loopback interface, which names only one.
    for name, interfaces in own.items():
        if any(address in interface.network for interface in interfaces):
            return name
    return None


def _networks() -> dict[str, list[str]]:
    networks: dict[str, list[str]] = {}
    for name, addresses in psutil.net_if_addrs().items():
        networks[name] = [text for each in addresses if (text := _with_prefix(each.address, each.netmask))]
    return networks


def _with_prefix(address: str, netmask: str | None) -> str | None:
    """None for what is no IP address, such as that of the hardware."""
    # A link-local IPv6 address names its interface after a percent sign.
    plain = address.partition("%")[0]
    try:
        if ip_address(plain).version == _IPV6 or netmask is None:
            # Its netmask is written as an address, which ipaddress does not read.
            return plain
    except ValueError:
        return None
    return f"{plain}/{netmask}"
