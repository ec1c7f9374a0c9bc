"""Kills one part after another and measures the time until everything is there again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import requests

from tests.soak.cluster import Role, SoakCluster
from tests.soak.settings import Part
from xinfer.cluster.fork_server import ForkServerStage, ForkServerState

_POLL_PERIOD_S = 0.3
_ROLES = {
    Part.WORKER: Role.WORKER,
    Part.ENGINE_CORE: Role.ENGINE_CORE,
    Part.API_SERVER: Role.API_SERVER,
    Part.SUPERVISOR: Role.SUPERVISOR,
    Part.REGISTRY: Role.REGISTRY,
    Part.CONTROLLER: Role.CONTROLLER,
    Part.HAPROXY: Role.HAPROXY,
    Part.FORK_SERVER: Role.FORK_SERVER,
    Part.NODE: Role.RAYLET,
}
_OF_A_REPLICA = (Part.WORKER, Part.ENGINE_CORE, Part.API_SERVER)
_REPLICA_ROLES = (Role.WORKER, Role.ENGINE_CORE, Role.API_SERVER)


@dataclass(frozen=True, slots=True)
class Kill:
    """One killed process. Times are in seconds."""

    part: Part
    pid: int
    at: float
    """Monotonic."""
    recovered_s: float | None
    """Until a successor was there and all replicas were READY; None if that took too long.

    For HAProxy, until Serve's own runs again and the stand-in has ended. Clients are served long before.
    """
    missing: str = ""
    """What was still missing at the timeout."""


class NoVictim(Exception):
    """The part that was to be killed does not run."""


def deck(parts: tuple[Part, ...], rng: random.Random) -> Iterator[Part]:
    """All parts in random order, again and again."""
    while True:
        yield from rng.sample(parts, len(parts))


class Killer:
    """Kills parts of one cluster."""

    def __init__(self, cluster: SoakCluster, rng: random.Random) -> None:
        self._cluster = cluster
        self._rng = rng

    def kill(self, part: Part) -> Kill:
        """SIGKILL one process of ``part`` and wait until the cluster has recovered, or the timeout is over."""
        role = _ROLES[part]
        before = self._cluster.by_role()[role]
        if not before:
            raise NoVictim(f"no {part} runs")
        if part is Part.HAPROXY:
            # Older ones may be there as well, which only finish their connections.
            before = [max(before, key=_started_at)]
        count = len(before)
        if part is Part.NODE:
            before = self._cluster.joined_raylets()
        ready = set(self._cluster.ready_replicas())
        victim = self._rng.choice(before)
        sockets = _listening(victim)

        killed_at_unix = time.time()
        victim.kill()
        killed_at = time.monotonic()
        if part is Part.NODE:
            # As an operator would. What ran there has ended by then, or is ended.
            self._cluster.rejoin()
        deadline = killed_at + self._cluster.settings.recovery_timeout_s
        while True:
            missing = self._missing(part, victim.pid, killed_at_unix, count, ready, sockets)
            recovered_s = time.monotonic() - killed_at
            if not missing:
                return Kill(part, victim.pid, killed_at, recovered_s)
            if time.monotonic() > deadline:
                return Kill(part, victim.pid, killed_at, None, missing)
            time.sleep(_POLL_PERIOD_S)

    def _missing(self, part: Part, pid: int, killed_at_unix: float, count: int, ready: set[str], sockets: int) -> str:
        """What is not there yet; empty after the recovery."""
        running = self._cluster.by_role()
        successors = [process for process in running[_ROLES[part]] if process.pid != pid]
        if part is Part.HAPROXY:
            successors = [process for process in successors if _started_at(process) > killed_at_unix]
        if len(successors) != count:
            return f"{len(successors)} of {count}: {part}"
        if part is Part.SUPERVISOR and any(_listening(process) < sockets for process in successors):
            return "a supervisor that listens"
        if part is Part.HAPROXY and running[Role.STAND_IN]:
            return "the end of HAProxy's stand-in"
        if part is Part.FORK_SERVER and not self._can_fork(pid):
            return "a fork server that is ready"

        replicas = self._cluster.settings.replicas
        for role in _REPLICA_ROLES:
            if len(running[role]) != replicas:
                return f"{len(running[role])} of {replicas}: {role}"
        try:
            ready_now = set(self._cluster.ready_replicas())
            # Comes from the registry.
            self._cluster.requests_in_flight()
        except requests.RequestException as error:
            return f"an answer of the control plane ({type(error).__name__})"
        if len(ready_now) != replicas:
            return f"{len(ready_now)} of {replicas} replicas READY"
        if part in _OF_A_REPLICA and ready_now == ready:
            return "a new replica in the model table"
        return ""

    def _can_fork(self, killed_pid: int) -> bool:
        for home in self._cluster.homes:
            state = ForkServerState.load(home)
            if state is None or state.pid == killed_pid or state.stage is not ForkServerStage.READY:
                return False
        return True


def _started_at(process: psutil.Process) -> float:
    """Unix time; 0 of one that has ended."""
    try:
        return process.create_time()
    except psutil.Error:
        return 0.0


def _listening(process: psutil.Process) -> int:
    """How many TCP sockets it listens on."""
    try:
        return sum(each.status == psutil.CONN_LISTEN for each in process.net_connections("tcp"))
    except psutil.Error:
        return 0
