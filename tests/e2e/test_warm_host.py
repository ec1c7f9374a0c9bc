"""Real engines out of the warm host: where they come from, and what becomes of them when parts of it die."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import RunningCluster
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.fork_server import ForkServerStage, ForkServerState
from xinfer.cluster.processes import command_line, of_cluster
from xinfer.errors import ModelNotFound

# A host that is killed imports vLLM again.
heavy = pytest.mark.heavy

pytestmark = pytest.mark.engine

HELLO = [{"role": "user", "content": "Hello"}]
ALONE = "Starting without the fork server"


@pytest.fixture
def launch(client: RESTfulClient) -> Iterator[Callable[..., str]]:
    """Launches tiny-chat on real vLLM; taken down afterwards."""
    launched = []

    def launch(uid: str, **options: Any) -> str:
        launched.append(uid)
        return client.launch_model("tiny-chat", model_uid=uid, n_gpu=None, **options)

    yield launch
    for uid in launched:
        with contextlib.suppress(ModelNotFound):
            client.terminate_model(uid)


def warm(cluster: RunningCluster) -> ForkServerState:
    """The host, once it is ready."""

    def ready() -> ForkServerState | None:
        state = ForkServerState.load(cluster.home)
        return state if state and state.stage is ForkServerStage.READY else None

    found: ForkServerState = wait_for(ready, 90, "a warm host")
    return found


def engine_of(client: RESTfulClient, uid: str) -> psutil.Process:
    """The server's process of the one replica of ``uid``."""
    named = [p for p in psutil.process_iter(["cmdline"]) if _serves(p, uid)]
    (process,) = named
    return process


def _serves(process: psutil.Process, uid: str) -> bool:
    words = " ".join(process.info["cmdline"] or []).split()
    return "worker.engine_server" in words and uid in words


def answers(client: RESTfulClient, uid: str) -> bool:
    model: Any = client.get_model(uid)
    return bool(model.chat(HELLO, generate_config={"max_tokens": 4})["usage"]["completion_tokens"])


def log_of(cluster: RunningCluster, uid: str) -> str:
    (log,) = (cluster.home / "logs" / "engines").glob(f"{uid}-*.log")
    return log.read_text()


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def group_of(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def test_engine_comes_from_the_host(cluster: RunningCluster, client: RESTfulClient, launch: Callable[..., str]) -> None:
    host = warm(cluster)
    before = set(Path("/dev/shm").iterdir())
    launch("warm-one")
    assert answers(client, "warm-one")
    assert ALONE not in log_of(cluster, "warm-one")
    engine = engine_of(client, "warm-one")
    assert engine.ppid() == host.pid
    names = {p.name() for p in group_of(engine)}
    assert any("VLLM::EngineCor" in name for name in names), names
    assert "XINFER_CLUSTER_ID" in engine.environ()  # `xinfer stop` finds it
    everything = group_of(engine)
    client.terminate_model("warm-one")
    wait_for(lambda: gone(everything), 3, "the engine's end")
    assert set(Path("/dev/shm").iterdir()) <= before
    assert ForkServerState.load(cluster.home) == host


def test_workers_of_ray_are_forked(cluster: RunningCluster, launch_fake: Callable[..., str]) -> None:
    """All of them, a replica's too; they share the memory of what was imported."""
    launch_fake("forked")
    record = ClusterRecord.load(cluster.home)
    assert record
    everything = of_cluster(record.id)
    (server,) = [process for process in everything if "ray_workers.fork_server" in command_line(process)]
    names = {command_line(process).split(".")[0].strip(): process for process in everything}
    workers = {name: each for name, each in names.items() if name.startswith("ray::") and not name.endswith("Agent")}
    workers["ray::NodeAgent"] = names["ray::NodeAgent"]
    assert {each.ppid() for each in workers.values()} == {server.pid}
    assert any("forked" in name for name in workers)
    registry = workers["ray::Registry"].memory_full_info()
    assert registry.pss < 0.7 * registry.rss


def spares(cluster: RunningCluster) -> list[int]:
    """Ray's processes that wait for a replica to be put into them."""
    record = ClusterRecord.load(cluster.home)
    assert record
    return [p.pid for p in of_cluster(record.id) if "ray::IDLE" in command_line(p)]


def test_replica_is_put_into_the_spare(
    cluster: RunningCluster, client: RESTfulClient, launch_fake: Callable[..., str]
) -> None:
    """And another one is there for the next."""
    for uid in ("spare-a", "spare-b"):
        before = wait_for(lambda: spares(cluster), 30, "a spare process")
        launch_fake(uid)
        assert worker_of(cluster, uid).pid in before


@heavy
def test_variable_that_comes_too_late(
    cluster: RunningCluster, client: RESTfulClient, launch: Callable[..., str]
) -> None:
    """The engine starts by itself, with that variable, and its log says why."""
    warm(cluster)
    launch("cold-one", envs={"HF_HUB_ETAG_TIMEOUT": "7"})
    assert answers(client, "cold-one")
    assert f"{ALONE}: HF_HUB_ETAG_TIMEOUT must be set before the engine is imported." in log_of(cluster, "cold-one")
    assert engine_of(client, "cold-one").environ()["HF_HUB_ETAG_TIMEOUT"] == "7"


@heavy
def test_host_is_killed(cluster: RunningCluster, client: RESTfulClient, launch: Callable[..., str]) -> None:
    """Its engines go on; another host comes; a launch in between succeeds, from whichever way is open."""
    host = warm(cluster)
    launch("older")
    engine = engine_of(client, "older")
    os.kill(host.pid, signal.SIGKILL)
    launch("between")
    assert answers(client, "older")
    assert answers(client, "between")
    assert engine.is_running()
    assert engine.ppid() != host.pid
    new = warm(cluster)
    assert new.pid != host.pid
    everything = group_of(engine)
    client.terminate_model("older")
    wait_for(lambda: gone(everything), 5, "the end of an engine whose host is dead")


@heavy
@pytest.mark.parametrize("victim", ["worker", "server", "core"])
def test_kill_9(cluster: RunningCluster, client: RESTfulClient, launch: Callable[..., str], victim: str) -> None:
    """Whoever dies takes the engine along; a new replica answers."""
    warm(cluster)
    uid = f"doomed-{victim}"
    launch(uid)
    engine = engine_of(client, uid)
    everything = group_of(engine)
    target = {
        "worker": lambda: worker_of(cluster, uid),
        "server": lambda: engine,
        "core": lambda: next(p for p in everything if "EngineCore" in command_line(p)),
    }[victim]()
    target.kill()
    wait_for(lambda: gone(everything), 15, "the end of the engine's processes")  # vLLM looks after its core every 5 s
    wait_for(lambda: comes_back(client, uid, engine), 60, "another replica")


def worker_of(cluster: RunningCluster, uid: str) -> psutil.Process:
    return next(
        p
        for p in psutil.process_iter(["cmdline"])
        if f"ServeReplica:model-{uid}:worker" in " ".join(p.info["cmdline"] or [])
    )


def comes_back(client: RESTfulClient, uid: str, before: psutil.Process) -> bool:
    (instance,) = client.get_instance_info(None, uid)
    return instance["status"] == "READY" and answers(client, uid) and engine_of(client, uid) != before
