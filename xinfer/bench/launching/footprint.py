"""What the engines of a model hold on this machine, and what of it is left after they have ended."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from xinfer.client import RESTfulClient
from xinfer.cluster.processes import command_line, is_alive, of_cluster
from xinfer.errors import LaunchFailed
from xinfer.gpus import gpus
from xinfer.names import model_app

Address = tuple[str, int]

_POLL_PERIOD_S = 0.02
_GPU_SLACK_MIB = 64
"""A GPU is as before if no more than this is used above what was used then."""
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
    """Used of each GPU while they run, by all processes."""

    @classmethod
    def of_model(cls, client: RESTfulClient, cluster_id: str, uid: str) -> Footprint:
        """Of a model that is ready."""
        (instance,) = client.get_instance_info(model_uid=uid)
        addresses = [_address(replica["model_address"]) for replica in instance["replica_statuses"]]
        everybody = of_cluster(cluster_id)
        engines = engine_processes(everybody, addresses)
        # Ray gives a worker's process the name of its actor.
        actor = f"ServeReplica:{model_app(uid)}:"
        actors = [process for process in everybody if actor in command_line(process)]
        return cls(tuple(engines), tuple(actors), tuple(addresses), _shared_memory(engines), gpu_used_mib())

    def left(self, gpu_before_mib: Mapping[str, int]) -> list[str]:
        """What of it is still there, in words."""
        return list(self._left(gpu_before_mib))

    def _left(self, gpu_before_mib: Mapping[str, int]) -> Iterator[str]:
        for process in (*self.processes, *self.actors):
            if is_alive(process):
                yield f"process {process.pid}"
        for host, port in self.addresses:
            if _listens(host, port):
                yield f"port {port}"
        for file in self.shared_memory:
            if file.exists():
                yield str(file)
        if not self.gpu_mib:
            return
        for name, mib in gpu_used_mib().items():
            if mib > gpu_before_mib.get(name, 0) + _GPU_SLACK_MIB:
                yield f"{mib} MiB of {name}"

    def wait_until_gone(self, timeout_s: float, gpu_before_mib: Mapping[str, int] | None = None) -> None:
        """Return when nothing of it is left; ``LaunchFailed`` with what stays.

        GPUs count only with ``gpu_before_mib``, what was used of each before the launch.
        """
        deadline = time.monotonic() + timeout_s
        while left := self.left(gpu_before_mib or self.gpu_mib):
            if time.monotonic() > deadline:
                raise LaunchFailed(f"After {timeout_s:g} s this is left of the model: {', '.join(left)}.")
            time.sleep(_POLL_PERIOD_S)


def engine_processes(everybody: Iterable[psutil.Process], addresses: Iterable[Address]) -> list[psutil.Process]:
    """Those that listen on the addresses, with their descendants and the rest of their sessions."""
    wanted = set(addresses)
    everybody = list(everybody)
    servers = [process for process in everybody if _listening(process) & wanted]
    sessions = {os.getsid(server.pid) for server in servers}
    found = list(servers)
    for server in servers:
        found += server.children(recursive=True)
    # A process whose parent has ended is no descendant any more, and still in the session.
    found += [process for process in everybody if _session(process) in sessions]
    return list(dict.fromkeys(found))


def gpu_used_mib() -> dict[str, int]:
    """Memory in use on each GPU by its UUID, by all processes; without GPUs that do not report it."""
    used: dict[str, int] = {}
    for gpu in gpus():
        if gpu.memory_used_mib is not None:
            used[gpu.uuid] = gpu.memory_used_mib
    return used


def _address(url: str) -> Address:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 0)


def _listening(process: psutil.Process) -> set[Address]:
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return set()
    found: set[Address] = set()
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN:
            found.add((connection.laddr.ip, connection.laddr.port))
    return found


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def _shared_memory(processes: Iterable[psutil.Process]) -> frozenset[Path]:
    """Files in shared memory that the processes have mapped."""
    found: set[Path] = set()
    for process in processes:
        found.update(_mapped_shared_memory(Path(f"/proc/{process.pid}/maps")))
    return frozenset(found)


def _mapped_shared_memory(maps: Path) -> Iterator[Path]:
    if not maps.exists():
        return
    for line in maps.read_text().splitlines():
        name = line.split(maxsplit=5)[-1]
        # A deleted file goes with the last process that has it mapped.
        if name.startswith(_SHARED_MEMORY) and "(deleted)" not in name:
            yield Path(name)


def _listens(host: str, port: int) -> bool:
    family = socket.AF_INET
    if ":" in host:
        family = socket.AF_INET6
    with socket.socket(family) as probe:
        return probe.connect_ex((host, port)) == 0
