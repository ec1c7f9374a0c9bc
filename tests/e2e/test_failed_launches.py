"""A launch that fails in each of its stages: the engine's own last error in one line, its log on request, and nothing left."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import ROOT, RunningCluster
from tests.e2e.launch_ends import failed_cleanly, stages_of
from tests.e2e.traces import Traces, processes_of
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import LaunchFailed, ModelNotFound

# A launch for every stage; others here fail, too.
heavy = pytest.mark.heavy

MODEL = ROOT / "xinfer" / "tiny_chat" / "model"
SILENT = "exit code 1 and no error in its log"
NO_TIME_S = 0.4


def log_of(client: RESTfulClient, uid: str, lines: int = 100) -> list[str]:
    (replica,) = client.get_model_log(uid, lines)["replicas"]
    found: list[str] = replica["lines"]
    return found


@heavy
@pytest.mark.parametrize(
    ("stage", "behaviour", "reason"),
    [
        ("starting", {"start_s": NO_TIME_S, "start_error": "the disk is on fire"}, "the disk is on fire"),
        ("starting", {"start_s": NO_TIME_S, "exit_while": "starting"}, SILENT),
        ("loading", {"load_s": NO_TIME_S, "load_error": "no room for the weights"}, "no room for the weights"),
        ("loading", {"load_s": NO_TIME_S, "exit_while": "loading"}, SILENT),
        ("warming_up", {"warm_s": NO_TIME_S, "warm_error": "the sums do not add up"}, "the sums do not add up"),
        ("warming_up", {"warm_s": NO_TIME_S, "exit_while": "warming_up"}, SILENT),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_in_the_engine_s_stages(
    cluster: RunningCluster,
    client: RESTfulClient,
    launch_fake: Callable[..., str],
    tmp_path: Path,
    stage: str,
    behaviour: dict[str, Any],
    reason: str,
) -> None:
    """Who waits is told as well; the times show how far it came."""
    before = Traces.of_cluster(cluster)
    uid = "doomed"
    with pytest.raises(LaunchFailed, match=reason) as failure:
        launch_fake(uid, envs={"TMPDIR": str(tmp_path)}, **behaviour)
    assert "\n" not in failure.value.message
    (replica,) = failed_cleanly(cluster, client, uid, before, reason)["replicas"]
    assert stages_of(replica)[-2:] == [stage, "failed"]
    assert next(each["seconds"] for each in replica["stages"] if each["stage"] == stage) >= NO_TIME_S / 2
    assert list(tmp_path.iterdir()) == []


def test_log_on_request(cluster: RunningCluster, client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    """Over REST and on the command line, whose error says how."""
    folder, uid = str(MODEL), "doomed-log"
    words = ["launch", "fake", "-u", uid, "-en", "fake", "-mp", folder, "--n-gpu", "none", "--start_error", "on fire"]
    failed = cluster.run(*words, check=False)
    assert failed.returncode == 1
    last = failed.stderr.strip().splitlines()[-1]
    assert last == f"Error: on fire. `xinfer logs {uid}` shows the engine's log."
    assert log_of(client, uid) == ["RuntimeError: on fire"]
    assert cluster.run("logs", uid).stdout == "RuntimeError: on fire\n"
    client.terminate_model(uid)
    with pytest.raises(ModelNotFound):
        client.get_model_log(uid)


@heavy
def test_log_of_a_launch_under_way_and_of_a_model_that_is_up(
    client: RESTfulClient, launch_fake: Callable[..., str]
) -> None:
    uid = launch_fake("talkative", load_s=8.0, wait_ready=False)  # a log takes Ray a process to read
    wait_for(lambda: client.get_launch_model_progress(uid)["stage"] == "loading", 20, "loading")
    assert "Starting to load model" in log_of(client, uid)[-1]
    wait_for(lambda: client.get_launch_model_progress(uid)["stage"] == "ready", 20, "ready")
    assert "Starting vLLM server" in log_of(client, uid, lines=1)[0]
    assert len(log_of(client, uid)) >= 2


def test_log_before_there_is_any(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    uid = launch_fake("mute", start_s=20, wait_ready=False)
    assert all(replica["lines"] == [] for replica in client.get_model_log(uid)["replicas"])
    with pytest.raises(ModelNotFound):
        client.get_model_log("nobody")


def test_uid_is_free_again(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    with pytest.raises(LaunchFailed):
        launch_fake("second-try", start_error="not today")
    assert launch_fake("second-try", tokens=3) == "second-try"
    assert client.get_model("second-try").generate("Hi")["usage"]["completion_tokens"] == 3  # type: ignore[call-overload,index]
    assert client.get_launch_model_progress("second-try")["error"] is None


def test_worker_killed_while_its_engine_starts(
    cluster: RunningCluster, client: RESTfulClient, launch_fake: Callable[..., str]
) -> None:
    """Nobody is left to say why; it fails all the same, and the engine does not outlive its worker."""
    before = Traces.of_cluster(cluster)
    uid = launch_fake("killed-early", start_s=60, wait_ready=False)
    wait_for(lambda: engines(uid), 20, "the engine's process")
    (engine,) = engines(uid)
    (worker,) = [process for process in processes_of(uid) if process != engine]
    began = time.monotonic()
    worker.kill()
    wait_for(lambda: not engine.is_running(), 5, "the engine's end")
    wait_for(lambda: client.get_launch_model_progress(uid)["stage"] == "failed", 30, "the failure")
    print(f"failed after {time.monotonic() - began:.1f} s")
    failed_cleanly(cluster, client, uid, before, "")


def engines(uid: str) -> list[psutil.Process]:
    return [process for process in processes_of(uid) if uid in process.cmdline()]


@pytest.mark.engine
def test_vllm(cluster: RunningCluster, client: RESTfulClient, tmp_path: Path) -> None:
    """A model that real vLLM refuses: its own error, in one line, and all of its log."""
    for file in MODEL.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000_000])  # as a download that broke off
    before = Traces.of_cluster(cluster)
    reason = "SafetensorError: Error while deserializing header"
    with pytest.raises(LaunchFailed, match=reason) as failure:
        client.launch_model("broken", model_path=str(tmp_path), n_gpu=None, enforce_eager=True)
    assert "\n" not in str(failure.value)
    (replica,) = failed_cleanly(cluster, client, "broken", before, reason)["replicas"]
    assert stages_of(replica)[-2:] == ["loading", "failed"]
    assert any("Traceback" in line for line in log_of(client, "broken", lines=500))
