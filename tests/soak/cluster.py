"""The cluster under test, with the role of each of its processes."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.joined_node import JoinedNode
from tests.soak.settings import Part, SoakSettings
from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import StartOptions
from xinfer.cluster.ports import free_port
from xinfer.cluster.processes import of_cluster

MODEL = "soak"
MODEL_FOLDER = Path(__file__).resolve().parent.parent.parent / "xinfer" / "tiny_chat" / "model"
_PROBE_TIMEOUT_S = 10.0
_IN_FLIGHT = re.compile(r"^xinference:model_serve_count\{[^}]*\} (\S+)$", re.MULTILINE)
_RUNNING = re.compile(r"^vllm:num_requests_(?:running|waiting)\{[^}]*\} (\S+)$", re.MULTILINE)


class Role(StrEnum):
    """What a process of the cluster is."""

    SUPERVISOR = "supervisor"
    REGISTRY = "registry"
    CONTROLLER = "Serve controller"
    PROXY_ACTOR = "HAProxy's actor"
    HAPROXY = "HAProxy"
    STAND_IN = "HAProxy's stand-in"
    GUARD = "HAProxy's guard"
    NODE = "node process"
    FORK_SERVER = "fork server"
    WORKERS_FORK_SERVER = "fork server of Ray's workers"
    WORKER = "worker"
    API_SERVER = "API server"
    ENGINE_CORE = "engine core"
    ENGINE_WORKER = "engine worker"
    GUEST = "second model"
    RAYLET = "raylet"
    GCS = "gcs_server"
    RAY_START = "ray start"
    LOG_MONITOR = "Ray's log monitor"
    RAY_CLIENT = "Ray's client server"
    IDLE = "idle Ray worker"
    TRACKER = "resource tracker"
    RAY_OTHER = "other process of Ray"
    OTHER = "other"


# The first one that is part of the command line counts. A replica's title has more in front while it is initialized.
_SIGNS = (
    ("xinfer.cluster.haproxy_guard", Role.GUARD),
    ("xinfer.cluster.node_process", Role.NODE),
    ("supervisor.nodes.ray_workers.fork_server", Role.WORKERS_FORK_SERVER),
    ("supervisor.nodes.ray_node start", Role.RAY_START),
    ("_private/log_monitor.py", Role.LOG_MONITOR),
    ("ray.util.client.server", Role.RAY_CLIENT),
    ("worker.fork_server.process", Role.FORK_SERVER),
    ("ServeReplica:xinfer:", Role.SUPERVISOR),
    (f"ServeReplica:model-{MODEL}:", Role.WORKER),
    ("ServeReplica:model-", Role.GUEST),
    ("worker.fake.server", Role.GUEST),
    ("worker.engine_server", Role.API_SERVER),
    ("VLLM::EngineCore", Role.ENGINE_CORE),
    ("VLLM::Worker", Role.ENGINE_WORKER),
    ("multiprocessing.resource_tracker", Role.TRACKER),
    ("ray::Registry", Role.REGISTRY),
    ("ray::ServeController", Role.CONTROLLER),
    ("ray::HAProxyManager", Role.PROXY_ACTOR),
    ("ray::ProxyActor", Role.PROXY_ACTOR),
    ("ray::IDLE", Role.IDLE),
    ("/ray/", Role.RAY_OTHER),
    ("ray-", Role.RAY_OTHER),
    ("ray::", Role.RAY_OTHER),
)
_NAMES = {"raylet": Role.RAYLET, "gcs_server": Role.GCS}


def role_of(process: psutil.Process) -> Role:
    """Raises ``psutil.Error`` if the process has ended."""
    name = process.name()
    words = " ".join(process.cmdline())
    if name == "haproxy":
        return Role.STAND_IN if "stand-in" in words else Role.HAPROXY
    if name in _NAMES:
        return _NAMES[name]
    for sign, role in _SIGNS:
        if sign in words:
            return role
    return Role.OTHER


@dataclass(frozen=True)
class SoakCluster:
    """A cluster of its own, in a folder of its own."""

    endpoint: str
    home: Path
    id: str
    settings: SoakSettings
    joined: JoinedNode | None = None

    @classmethod
    @contextmanager
    def started(cls, settings: SoakSettings, logs: Path | None = None) -> Iterator[SoakCluster]:
        """A running cluster; afterwards it is stopped and its folder removed, its logs apart if they are wanted."""
        home = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
        lifecycle = NodeLifecycle(home)
        joined: JoinedNode | None = None
        options = StartOptions(
            port=free_port("127.0.0.1"),
            ray_port=free_port("127.0.0.1"),
            num_gpus=2,
            supervisors=settings.supervisors,
            allow_fake_engine=True,
        )
        try:
            for _ in lifecycle.start(options):
                pass
            record = ClusterRecord.load(home)
            assert record
            if Part.NODE in settings.parts:
                # So that a replica's memory is the same wherever its successor comes up.
                joined = JoinedNode(home, warm_host=True)
                joined.join()
            yield cls(options.endpoint, home, record.id, settings, joined)
        finally:
            if joined:
                joined.leave()
            lifecycle.stop()
            if logs:
                _keep_logs(home, logs)
            shutil.rmtree(home, ignore_errors=True)

    @property
    def ids(self) -> list[str]:
        """The marks of all its processes, those of earlier lives of the joined node included."""
        if self.joined is None:
            return [self.id]
        return [self.id, *self.joined.ids]

    @property
    def homes(self) -> list[Path]:
        """The folder of each node."""
        if self.joined is None:
            return [self.home]
        return [self.home, self.joined.home]

    def joined_raylets(self) -> list[psutil.Process]:
        """The raylet of the joined node; none if it has ended."""
        return self.joined.raylet() if self.joined else []

    def rejoin(self) -> None:
        """Have the second node join again."""
        assert self.joined
        self.joined.join()

    def launch(self) -> None:
        """Launch ``tiny-chat`` on vLLM and wait until all replicas are READY."""
        with RESTfulClient(self.endpoint) as client:
            client.launch_model(
                "tiny-chat", model_uid=MODEL, n_gpu=None, replica=self.settings.replicas, wait_ready=True
            )

    def by_role(self) -> dict[Role, list[psutil.Process]]:
        """All living processes."""
        found: dict[Role, list[psutil.Process]] = {role: [] for role in Role}
        for each in self.ids:
            for process in of_cluster(each):
                try:
                    found[role_of(process)].append(process)
                except psutil.Error:
                    continue
        return found

    def ready_replicas(self) -> dict[str, str]:
        """Addresses of the model's READY replicas by their ids; raises ``requests.RequestException``."""
        parameters = {"model_uid": MODEL}
        with requests.get(f"{self.endpoint}/v1/models/instances", params=parameters, timeout=_PROBE_TIMEOUT_S) as reply:
            reply.raise_for_status()
            (instance,) = reply.json()
        replicas: list[dict[str, Any]] = instance["replica_statuses"]
        return {each["replica_uid"]: each["model_address"] for each in replicas if each["status"] == "READY"}

    def requests_in_flight(self) -> float:
        """The sum of the supervisors' gauges, which the registry adds up; raises ``requests.RequestException``."""
        with requests.get(f"{self.endpoint}/metrics", timeout=_PROBE_TIMEOUT_S) as reply:
            reply.raise_for_status()
            return sum(map(float, _IN_FLIGHT.findall(reply.text)))

    def requests_in_engines(self) -> float:
        """Requests that the engines run or queue; raises ``requests.RequestException``."""
        total = 0.0
        for address in self.ready_replicas().values():
            with requests.get(f"{address}/metrics", timeout=_PROBE_TIMEOUT_S) as reply:
                total += sum(map(float, _RUNNING.findall(reply.text)))
        return total


def _keep_logs(home: Path, logs: Path) -> None:
    """Replace ``logs`` by the logs of the cluster in ``home``."""
    shutil.rmtree(logs, ignore_errors=True)
    shutil.copytree(home / "logs", logs)
    for session in home.glob("ray/session_2*/logs"):
        shutil.copytree(session, logs / "ray" / session.parent.name, symlinks=True, dirs_exist_ok=True)
