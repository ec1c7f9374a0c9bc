"""Launches: refused in words that say what to do, failed without a trace, followed, cancelled, repeated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.conftest import ROOT, RunningCluster, wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import Conflict, LaunchCancelled, LaunchFailed, LaunchRefused, ModelLoading, ModelNotFound

MODEL = str(ROOT / "xinfer" / "tiny_chat" / "model")
HELLO = [{"role": "user", "content": "Hello"}]


def processes_of(uid: str) -> list[psutil.Process]:
    """Engine processes that serve ``uid``."""
    return [p for p in psutil.process_iter(["cmdline"]) if uid in (p.info["cmdline"] or [])]


def nothing_left(client: RESTfulClient, uid: str) -> None:
    assert uid not in client.list_models()
    wait_for(lambda: not processes_of(uid), 10, f"no process of {uid} left")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"model_name": "no-such-family"}, ["no-such-family", "xinfer models"]),
        ({"model_name": "qwen"}, ["qwen3"]),
        ({"model_name": "qwen3", "model_size_in_billions": 9}, ["0.6", "8", "32"]),
        ({"model_name": "qwen3", "model_size_in_billions": 8, "quantization": "Int3"}, ["Int4"]),
        ({"model_name": "mine", "model_path": "/no/such/folder"}, ["/no/such/folder"]),
        ({"model_name": "mine", "model_path": "/"}, ["config.json"]),
        ({"model_name": "tiny-chat", "n_gpu": 64}, ["64", "the cluster has 2"]),
        ({"model_name": "tiny-chat", "n_gpu": 1, "replica": 3}, ["3 GPUs", "the cluster has 2"]),
        ({"model_name": "tiny-chat", "n_gpu": 1.5}, ["n_gpu"]),
        ({"model_name": "tiny-chat", "model_uid": "a/b"}, ["letters"]),
        ({"model_name": "tiny-chat", "model_uid": "x-rep1"}, ["-rep"]),
        ({"model_name": "tiny-chat", "model_uid": "x" * 101}, ["100"]),
        ({"model_name": "tiny-chat", "model_engine": "llama.cpp"}, ["vLLM"]),
        ({"model_name": "tiny-chat", "model_type": "embedding"}, ["embedding"]),
        ({"model_name": "tiny-chat", "replica": 0}, ["replica"]),
        ({"model_name": "tiny-chat", "port": 1}, ["port"]),
    ],
)
def test_refused(client: RESTfulClient, asked: dict[str, Any], words: list[str]) -> None:
    before = set(client.get_instance_info(None, None)[0]) if client.get_instance_info(None, None) else set()
    with pytest.raises(LaunchRefused) as refusal:
        client.launch_model(**asked)
    assert all(word in str(refusal.value) for word in words), str(refusal.value)
    after = client.get_instance_info(None, None)
    assert (set(after[0]) if after else set()) == before


def test_failed_start(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    """The engine's own last error, and nothing left; the UID is free again."""
    with pytest.raises(LaunchFailed, match="the disk is on fire"):
        launch_fake("doomed", start_error="the disk is on fire")
    nothing_left(client, "doomed")
    with pytest.raises(ModelNotFound, match="the disk is on fire"):
        client.describe_model("doomed")
    progress = client.get_launch_model_progress("doomed")
    assert progress["stage"] == "failed"
    assert "the disk is on fire" in progress["error"]
    assert launch_fake("doomed", tokens=3) == "doomed"
    assert client.get_model("doomed").generate("Hi")["usage"]["completion_tokens"] == 3  # type: ignore[call-overload,index]


@pytest.mark.engine
def test_failed_start_of_vllm(client: RESTfulClient, cluster: RunningCluster, tmp_path: Path) -> None:
    """A model that real vLLM refuses: its own error, in one line."""
    for file in Path(MODEL).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000_000])  # as a download that broke off
    with pytest.raises(LaunchFailed) as failure:
        client.launch_model("broken", model_path=str(tmp_path), n_gpu=None, enforce_eager=True)
    assert "SafetensorError: Error while deserializing header" in str(failure.value)
    assert "\n" not in str(failure.value)
    nothing_left(client, "broken")


def test_uid_in_use(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    launch_fake("taken")
    with pytest.raises(Conflict, match="taken"):
        client.launch_model("fake", model_engine="fake", model_uid="taken", model_path=MODEL, n_gpu=None)
    assert "taken" in client.list_models()


def test_two_launches_at_once(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    """One winner, the other a 409, one engine."""
    outcomes: list[object] = []

    def launch() -> None:
        try:
            outcomes.append(launch_fake("wanted"))
        except Conflict as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=launch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == sorted(["wanted", str(Conflict)])
    assert len(processes_of("wanted")) == 1


def test_loading(client: RESTfulClient, cluster: RunningCluster, launch_fake: Callable[..., str]) -> None:
    """While it loads: 503 with Retry-After, progress that moves, not in the list; afterwards it answers."""
    launch_fake("slow", start_s=3.0, wait_ready=False)
    body = {"model": "slow", "messages": HELLO}
    answer = requests.post(f"{cluster.endpoint}/v1/chat/completions", json=body, timeout=5)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["code"] == "model_loading"
    assert "slow" not in client.list_models()
    with RESTfulClient(cluster.endpoint, max_retries=0) as impatient, pytest.raises(ModelLoading):
        impatient.describe_model("slow")
    seen = []
    wait_for(lambda: seen.append(client.get_launch_model_progress("slow")) or seen[-1]["stage"] == "ready", 20)
    values = [report["progress"] for report in seen]
    assert values == sorted(values)
    assert 0 < values[0] < values[-1] == 1.0
    assert "slow" in client.list_models()


def test_cancel(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    launch_fake("cancelled", start_s=60.0, wait_ready=False)
    wait_for(lambda: processes_of("cancelled"), 10, "the engine's process")
    began = time.monotonic()
    client.cancel_launch_model("cancelled")
    assert time.monotonic() - began < 15
    nothing_left(client, "cancelled")
    with pytest.raises(ModelNotFound):
        client.get_launch_model_progress("cancelled")


def test_cancel_tells_who_waits(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    outcome: list[BaseException] = []

    def launch() -> None:
        try:
            launch_fake("given-up", start_s=60.0)
        except LaunchCancelled as error:
            outcome.append(error)

    waiter = threading.Thread(target=launch)
    waiter.start()
    wait_for(lambda: processes_of("given-up"), 10, "the engine's process")
    client.cancel_launch_model("given-up")
    waiter.join(15)
    assert outcome


def test_terminate_while_streaming(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    """The stream ends with an error event, the UID is a 404 at once."""
    launch_fake("ending", gap_s=0.1, tokens=500)
    model: Any = client.get_model("ending")
    stream = model.generate("Hi", generate_config={"stream": True})
    next(stream)
    client.terminate_model("ending")
    with pytest.raises(Exception, match=r"before it was complete|went away"):
        list(stream)
    with pytest.raises(ModelNotFound):
        client.describe_model("ending")
    nothing_left(client, "ending")


def test_gpus_are_reserved(client: RESTfulClient, launch_fake: Callable[..., str]) -> None:
    """Two logical GPUs: each replica has one of its own, a third is refused until one is free."""
    launch_fake("gpu-a", n_gpu=1)
    launch_fake("gpu-b", n_gpu=1)
    replicas = [requests_replica(client, uid) for uid in ("gpu-a", "gpu-b")]
    assert sorted(gpu for replica in replicas for gpu in replica["accelerators"]) == ["0", "1"]
    with pytest.raises(LaunchRefused, match="0 of them free"):
        launch_fake("gpu-c", n_gpu=1)
    client.terminate_model("gpu-b")
    launch_fake("gpu-c", n_gpu=0.5)
    launch_fake("gpu-d", n_gpu=0.5)


def requests_replica(client: RESTfulClient, uid: str) -> dict[str, Any]:
    (instance,) = client.get_instance_info(None, uid)
    (replica,) = instance["replica_statuses"]
    found: dict[str, Any] = replica
    return found
