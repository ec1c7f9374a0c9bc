"""What a launch may leave on a machine: processes, listening ports, shared memory, Ray actors."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.conftest import ROOT, RunningCluster
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.environment import token_file
from xinfer.cluster.processes import command_line, of_cluster

SHARED_MEMORY = Path("/dev/shm")


def record_of(cluster: RunningCluster) -> ClusterRecord:
    """Where the cluster's Ray is."""
    record = ClusterRecord.load(cluster.home)
    assert record is not None
    return record


def ray_side(cluster: RunningCluster, *words: str) -> subprocess.Popen[str]:
    """``tests.e2e.ray_side`` with these words, as a process."""
    env = {**cluster.env, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file(cluster.home))}
    argv = [sys.executable, "-W", "ignore", "-m", "tests.e2e.ray_side", record_of(cluster).ray_address, *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


@contextlib.contextmanager
def gpus_held(cluster: RunningCluster, count: float) -> Iterator[None]:
    """Something that xinfer knows nothing of has these GPUs."""
    with ray_side(cluster, "hold", f"{count:g}") as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == "held\n"
        yield
        holder.stdin.close()
        holder.wait(20)


def live_actors(cluster: RunningCluster) -> list[str]:
    """Names of the cluster's actors."""
    with ray_side(cluster, "actors") as asked:
        names: list[str] = json.loads(asked.communicate(timeout=30)[0])
    return names


def actor(cluster: RunningCluster, title: str) -> list[psutil.Process]:
    """Ray's processes of this cluster whose title begins so."""
    of_this_cluster = of_cluster(record_of(cluster).id)
    return [process for process in of_this_cluster if command_line(process).startswith(f"ray::{title}")]


def processes_of(uid: str) -> list[psutil.Process]:
    """Engines that serve ``uid``, workers that are its replicas, and whatever these have started."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or []).split()
        if uid in words or f"ServeReplica:model-{uid}:" in " ".join(words):
            with contextlib.suppress(psutil.Error):
                found |= {each.pid: each for each in (process, *process.children(recursive=True))}
    return list(found.values())


@dataclass(frozen=True)
class Traces:
    """What processes have that may outlive them."""

    pids: frozenset[int]
    ports: frozenset[int]
    shared_memory: frozenset[str]

    @classmethod
    def of_cluster(cls, cluster: RunningCluster) -> Traces:
        """All that is the cluster's own; Ray keeps idle workers as it likes."""
        return cls._of(process for process in of_cluster(record_of(cluster).id) if not _is_rays(process))

    @classmethod
    def of_model(cls, uid: str) -> Traces:
        """All that one model has."""
        return cls._of(processes_of(uid))

    @classmethod
    def _of(cls, processes: Iterable[psutil.Process]) -> Traces:
        own = list(processes)
        return cls(
            frozenset(process.pid for process in own),
            frozenset(port for process in own for _, port in listening(process)),
            frozenset(name for process in own for name in _shared_memory(process)),
        )

    def __sub__(self, earlier: Traces) -> Traces:
        """What has come since."""
        return Traces(self.pids - earlier.pids, self.ports - earlier.ports, self.shared_memory - earlier.shared_memory)


def nothing_left(
    cluster: RunningCluster,
    client: RESTfulClient,
    uid: str,
    before: Traces,
    had: Traces = Traces(frozenset(), frozenset(), frozenset()),
    deadline_s: float = 10,
) -> None:
    """Fail unless everything of ``uid`` is gone: all that it ``had``, and all that the cluster has got since ``before``."""
    assert uid not in client.list_models()
    wait_for(lambda: not processes_of(uid), deadline_s, f"no process of {uid} left")
    wait_for(lambda: not any(map(psutil.pid_exists, had.pids)), deadline_s, f"none of {had.pids} left")
    assert [name for name in had.shared_memory if (SHARED_MEMORY / name).exists()] == []
    end = time.monotonic() + deadline_s
    more = Traces.of_cluster(cluster) - before
    while (more.pids or more.ports) and time.monotonic() < end:
        time.sleep(0.1)
        more = Traces.of_cluster(cluster) - before
    assert (more.pids, more.ports) == (frozenset(), frozenset())
    assert [name for name in live_actors(cluster) if uid in name] == []


def _is_rays(process: psutil.Process) -> bool:
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return True
    return words.startswith("ray::") or "/ray/" in words


def listening(process: psutil.Process) -> list[tuple[str, int]]:
    """Addresses and ports; none of a process that has ended."""
    try:
        sockets = process.net_connections("tcp")
    except psutil.Error:
        return []
    return [(each.laddr.ip, each.laddr.port) for each in sockets if each.status == psutil.CONN_LISTEN]


def _shared_memory(process: psutil.Process) -> list[str]:
    """Names of what it has mapped of ``/dev/shm``, Ray's object store apart."""
    try:
        maps = Path(f"/proc/{process.pid}/maps").read_text()
    except OSError:
        return []
    names = [line.rpartition(f"{SHARED_MEMORY}/")[2] for line in maps.splitlines() if f"{SHARED_MEMORY}/" in line]
    return [name for name in names if not name.startswith("plasma") and not name.endswith("(deleted)")]
