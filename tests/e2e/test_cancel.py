"""A launch given up in each of its stages: at once, told to whoever waits or asks, and with nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningCluster
from tests.e2e.launch_ends import cancelled_cleanly, stages_of
from tests.e2e.traces import Traces, gpus_held, nothing_left, processes_of
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import Conflict, LaunchCancelled, ModelNotFound

# A launch for every stage; others here cancel, too.
heavy = pytest.mark.heavy

LONG_S = 60.0


def stage_of(client: RESTfulClient, uid: str) -> str:
    stage: str = client.get_launch_model_progress(uid)["stage"]
    return stage


def is_under_way(client: RESTfulClient, uid: str) -> bool:
    (instance,) = client.get_instance_info(None, uid) or [{"status": "none"}]
    return bool(instance["status"] == "LOADING")


@heavy
@pytest.mark.parametrize(
    ("stage", "behaviour"),
    [("starting", {"start_s": LONG_S}), ("loading", {"load_s": LONG_S}), ("warming_up", {"warm_s": LONG_S})],
)
def test_in_the_engine_s_stages(
    cluster: RunningCluster,
    client: RESTfulClient,
    launch_fake: Callable[..., str],
    tmp_path: Path,
    stage: str,
    behaviour: dict[str, Any],
) -> None:
    """The times show how far it came, and its UID is free again."""
    before = Traces.of_cluster(cluster)
    uid = launch_fake(f"cancel-{stage}", wait_ready=False, envs={"TMPDIR": str(tmp_path)}, **behaviour)
    wait_for(lambda: stage_of(client, uid) == stage, 20, stage)
    assert processes_of(uid)
    (replica,) = cancelled_cleanly(cluster, client, uid, before)["replicas"]
    assert stage in stages_of(replica)
    assert list(tmp_path.iterdir()) == []
    assert launch_fake(uid, tokens=2) == uid


@heavy
@pytest.mark.parametrize("waits_s", [0, 1])
def test_while_it_looks_for_a_place(
    cluster: RunningCluster, client: RESTfulClient, launch_fake: Callable[..., str], waits_s: float
) -> None:
    """Something else has the GPUs; the report says what is waited for. After a moment Ray has a replica that waits, too."""
    with gpus_held(cluster, 2):
        before = Traces.of_cluster(cluster)
        uid = launch_fake("cancel-placing", n_gpu=1, wait_ready=False)
        report = wait_for(lambda: waiting(client, uid), 20, "waiting for a GPU")
        assert report["stage"] == "placing"
        assert report["replicas"][0]["info"] == "waiting for 1 GPU; 0 free in the cluster"
        time.sleep(waits_s)
        report = cancelled_cleanly(cluster, client, uid, before)
        assert stages_of(report) == ["pending", "placing", "cancelled"]
        assert report["stages"][-1]["began_at"] - report["stages"][-2]["began_at"] < waits_s + 3


def waiting(client: RESTfulClient, uid: str) -> dict[str, Any] | None:
    report = client.get_launch_model_progress(uid)
    return report if report["replicas"][0]["info"] else None


def test_as_soon_as_it_is_asked_for(
    cluster: RunningCluster, client: RESTfulClient, launch_fake: Callable[..., str]
) -> None:
    before = Traces.of_cluster(cluster)
    uid = launch_fake("cancel-pending", start_s=LONG_S, wait_ready=False)
    cancelled_cleanly(cluster, client, uid, before)


@heavy
def test_all_replicas(cluster: RunningCluster, client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    before = Traces.of_cluster(cluster)
    uid = launch_fake("cancel-several", replica=2, start_s=LONG_S, wait_ready=False)
    wait_for(lambda: len([p for p in processes_of(uid) if uid in p.cmdline()]) == 2, 20, "both engines")
    client.cancel_launch_model(uid)
    nothing_left(cluster, client, uid, before)


def test_twice_and_by_two_at_once(
    client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]
) -> None:
    uid = launch_fake("cancel-twice", start_s=LONG_S, wait_ready=False)
    wait_for(lambda: processes_of(uid), 20, "the engine's process")
    errors: list[Exception] = []

    def cancel() -> None:
        with RESTfulClient(cluster.endpoint) as own:
            try:
                own.cancel_launch_model(uid)
            except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
                errors.append(error)

    threads = [threading.Thread(target=cancel) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.cancel_launch_model(uid)
    assert (errors, stage_of(client, uid)) == ([], "cancelled")


def test_model_that_is_up(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    uid = launch_fake("cancel-up", tokens=2)
    with pytest.raises(Conflict, match="terminate"):
        client.cancel_launch_model(uid)
    assert uid in client.list_models()
    with pytest.raises(ModelNotFound):
        client.cancel_launch_model("nobody")


def test_tells_who_waits(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    outcome: list[BaseException] = []

    def launch() -> None:
        try:
            launch_fake("given-up", start_s=LONG_S)
        except LaunchCancelled as error:
            outcome.append(error)

    waiter = threading.Thread(target=launch)
    waiter.start()
    wait_for(lambda: processes_of("given-up"), 20, "the engine's process")
    client.cancel_launch_model("given-up")
    waiter.join(15)
    assert outcome


def test_cancelled_launch_can_be_terminated(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    """Which forgets it."""
    uid = launch_fake("cancel-forgotten", start_s=LONG_S, wait_ready=False)
    client.cancel_launch_model(uid)
    client.terminate_model(uid)
    with pytest.raises(ModelNotFound):
        client.get_launch_model_progress(uid)


def test_ctrl_c(cluster: RunningCluster, client: RESTfulClient) -> None:
    """Away from a terminal nobody can be asked, and the launch goes with the command."""
    before = Traces.of_cluster(cluster)
    words = ["launch", "fake", "-u", "cancel-ctrl-c", "-en", "fake", "-mp", "xinfer/tiny_chat/model", "--n-gpu", "none"]
    argv = [sys.executable, "-m", "xinfer.cli", *words, "--start_s", f"{LONG_S:g}"]
    pipe = subprocess.PIPE
    command = subprocess.Popen(argv, env=cluster.env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)
    wait_for(lambda: is_under_way(client, "cancel-ctrl-c"), 30, "the launch")
    command.send_signal(signal.SIGINT)
    told = command.communicate(timeout=20)[1]
    assert command.returncode == 1
    assert "cancelled" in told.splitlines()[-1]
    assert stage_of(client, "cancel-ctrl-c") == "cancelled"
    nothing_left(cluster, client, "cancel-ctrl-c", before)


@pytest.mark.engine
def test_vllm(cluster: RunningCluster, client: RESTfulClient) -> None:
    """The engine's own processes and shared memory go, too."""
    before = Traces.of_cluster(cluster)
    uid = client.launch_model("tiny-chat", model_uid="cancel-vllm", n_gpu=None, wait_ready=False)
    wait_for(lambda: stage_of(client, uid) == "loading", 90, "loading")
    assert len(Traces.of_model(uid).pids) >= 3, "the worker, the server and the core"
    cancelled_cleanly(cluster, client, uid, before)
