"""Launches: refused in words that say what to do, followed, repeated, terminated."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.conftest import ROOT, RunningCluster
from tests.e2e.traces import Traces, nothing_left, processes_of
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import Conflict, LaunchRefused, ModelLoading, ModelNotFound

# Five launches, one after the other.
heavy = pytest.mark.heavy

MODEL = str(ROOT / "xinfer" / "tiny_chat" / "model")
HELLO = [{"role": "user", "content": "Hello"}]


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
        ({"model_name": "tiny-chat", "idle_timeout": 0}, ["idle_timeout"]),
        ({"model_name": "tiny-chat", "kv_cache_gib": -1}, ["kv_cache_gib"]),
        ({"model_name": "tiny-chat", "n_gpu": 0.5, "gpu_memory_utilization": 0.9}, ["0.9", "0.5", "--n-gpu"]),
    ],
)
def test_refused(client: RESTfulClient, asked: dict[str, Any], words: list[str]) -> None:
    before = set(client.get_instance_info(None, None)[0]) if client.get_instance_info(None, None) else set()
    with pytest.raises(LaunchRefused) as refusal:
        client.launch_model(**asked)
    assert all(word in str(refusal.value) for word in words), str(refusal.value)
    after = client.get_instance_info(None, None)
    assert (set(after[0]) if after else set()) == before


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
    assert len([process for process in processes_of("wanted") if "wanted" in process.cmdline()]) == 1


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
    # A replica's own report may be there before the model's times, which come with the table.
    wait_for(
        lambda: seen.append(client.get_launch_model_progress("slow")) or seen[-1]["stages"][-1]["stage"] == "ready", 20
    )
    values = [report["progress"] for report in seen]
    assert values == sorted(values)
    assert 0 <= values[0] < values[-1] == 1.0
    assert "slow" in client.list_models()
    assert [each["stage"] for each in seen[-1]["stages"]] == ["pending", "placing", "ready"]
    took = {each["stage"]: each["seconds"] for each in seen[-1]["replicas"][0]["stages"]}
    assert took["starting"] >= 2.5
    assert took["ready"] is None


@heavy
def test_terminate_while_streaming(
    cluster: RunningCluster, client: RESTfulClient, launch_fake: Callable[..., str]
) -> None:
    """The stream ends with an error event, the UID is a 404 at once, nothing is left."""
    before = Traces.of_cluster(cluster)
    launch_fake("ending", gap_s=0.1, tokens=500)
    model: Any = client.get_model("ending")
    stream = model.generate("Hi", generate_config={"stream": True})
    next(stream)
    client.terminate_model("ending")
    with pytest.raises(Exception, match=r"before it was complete|went away"):
        list(stream)
    with pytest.raises(ModelNotFound):
        client.describe_model("ending")
    nothing_left(cluster, client, "ending", before)


@heavy
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
