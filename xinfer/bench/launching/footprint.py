"""What the engines of a model hold on this machine, and what of it is still there after they were ended."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from xinfer.bench.launching import gpu
from xinfer.client import RESTfulClient
from xinfer.cluster.processes import of_cluster
from xinfer.errors import LaunchFailed
from xinfer.names import model_app

Address = tuple[str, int]

_POLL_PERIOD_S = 0.02
_GPU_SLACK_MIB = 64
_SHARED_MEMORY = "/dev/shm/"


@dataclass(frozen=True, slots=True)
class Footprint:
    """Processes, whose memory goes with them, and what can outlive them."""

    processes: tuple[psutil.Process, ...]
    actors: tuple[psutil.Process, ...] = ()
    """The workers of those engines."""
    addresses: tuple[Address, ...] = ()
    shared_memory: frozenset[Path] = frozenset()
    gpu_mib: Mapping[str, int] = field(default_factory=dict)
    """Used of each GPU while they run, by whomever."""

    @classmethod
    def of_model(cls, client: RESTfulClient, cluster_id: str, uid: str) -> Footprint:
        """Of a model that is ready."""
        (instance,) = client.get_instance_info(model_uid=uid)
        addresses = [_address(replica["model_address"]) for replica in instance["replica_statuses"]]
        everybody = of_cluster(cluster_id)
        engines = engine_processes(everybody, addresses)
        actors = [p for p in everybody if f"ServeReplica:{model_app(uid)}:" in _title(p)]
        return cls(tuple(engines), tuple(actors), tuple(addresses), _mapped(engines), gpu.used_mib())

    def left(self, gpu_before_mib: Mapping[str, int]) -> list[str]:
        """What of it is still there, in words."""
        held = gpu.used_mib() if self.gpu_mib else {}
        return [
            *(f"process {process.pid}" for process in (*self.processes, *self.actors) if _lives(process)),
            *(f"port {port}" for host, port in self.addresses if _listens(host, port)),
            *(str(file) for file in self.shared_memory if file.exists()),
            *(f"{mib} MiB of {name}" for name, mib in held.items() if mib > _allowed(gpu_before_mib, name)),
        ]

    def wait_until_gone(self, timeout_s: float, gpu_before_mib: Mapping[str, int] | None = None) -> None:
        """Return when nothing of it is left; ``LaunchFailed`` with what stays. GPUs count if it is told what they held before."""
        deadline = time.monotonic() + timeout_s
        while left := self.left(gpu_before_mib or self.gpu_mib):
            if time.monotonic() > deadline:
                raise LaunchFailed(f"After {timeout_s:g} s this is left of the model: {', '.join(left)}.")
            time.sleep(_POLL_PERIOD_S)


def engine_processes(everybody: Iterable[psutil.Process], addresses: Iterable[Address]) -> list[psutil.Process]:
    """Those who listen there, with their descendants and the rest of their sessions."""
    wanted = set(addresses)
    everybody = list(everybody)
    servers = [process for process in everybody if _listening(process) & wanted]
    sessions = {os.getsid(server.pid) for server in servers}
    below = [child for server in servers for child in server.children(recursive=True)]
    return list(dict.fromkeys([*servers, *below, *(each for each in everybody if _session(each) in sessions)]))


def _address(url: str) -> Address:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)


def _listening(process: psutil.Process) -> set[Address]:
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return set()
    return {(each.laddr.ip, each.laddr.port) for each in connections if each.status == psutil.CONN_LISTEN}


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _mapped(processes: Iterable[psutil.Process]) -> frozenset[Path]:
    """Files in shared memory that they have open; those without a name any more go by themselves."""
    maps = [Path(f"/proc/{process.pid}/maps") for process in processes]
    words = [line.split(maxsplit=5)[-1] for file in maps if file.exists() for line in file.read_text().splitlines()]
    return frozenset(Path(word) for word in words if word.startswith(_SHARED_MEMORY) and "(deleted)" not in word)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _listens(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        return probe.connect_ex((host, port)) == 0


def _allowed(before_mib: Mapping[str, int], name: str) -> int:
    return before_mib.get(name, 0) + _GPU_SLACK_MIB
