"""Launches whose weights come from a hub: followed by bytes and rate, cancelled and failed on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, RunningCluster
from tests.e2e.launch_ends import cancelled_cleanly, failed_cleanly
from tests.e2e.traces import Traces
from tests.hub import Hub, serving
from tests.waiting import wait_for
from xinfer.client import RESTfulClient
from xinfer.errors import LaunchFailed

# A slow line on purpose; tests/worker/test_download.py has the downloads themselves.
heavy = pytest.mark.heavy

MODEL = ROOT / "xinfer" / "tiny_chat" / "model"
TOTAL_BYTES = sum(file.stat().st_size for file in MODEL.iterdir())
REPO = "Qwen/Qwen3-0.6B"
SLOW_BYTES_PER_S = 100_000
Launch = Callable[..., str]


@pytest.fixture
def server() -> Iterator[Hub]:
    """A hub that has the bundled model under every name."""
    with serving(Hub(MODEL)) as server:
        yield server


@pytest.fixture
def launch(client: RESTfulClient, server: Hub, tmp_path: Path) -> Iterator[Launch]:
    """Launch a model from that hub, a catalog's on the fake engine unless told otherwise, with a cache of the test's own."""
    env = {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}
    uids: set[str] = set()

    def launch(uid: str, *, name: str = "qwen3", wait_ready: bool = False, **options: Any) -> str:
        uids.add(uid)
        asked = {"model_engine": "fake", "model_size_in_billions": 0.6, "n_gpu": None, "envs": env, **options}
        return client.launch_model(name, model_uid=uid, wait_ready=wait_ready, **asked)

    yield launch
    for uid in uids:
        if client.get_instance_info(None, uid):
            client.terminate_model(uid)


def downloading(client: RESTfulClient, uid: str) -> dict[str, Any] | None:
    """The replica's report, if it downloads and has some of it."""
    (replica,) = client.get_launch_model_progress(uid)["replicas"]
    download = replica["download"]
    return replica if replica["stage"] == "downloading" and download and download["bytes_done"] else None


@heavy
def test_bytes_and_rate(client: RESTfulClient, server: Hub, launch: Launch) -> None:
    """They grow up to the whole, and move the bar up to the next stage."""
    server.rate_bytes_per_s = 3_000_000
    uid = launch("fetched", tokens=2)
    seen: list[dict[str, Any]] = []

    def is_ready() -> bool:
        report = client.get_launch_model_progress(uid)
        seen.append(report["replicas"][0])
        return bool(report["stage"] == "ready")

    wait_for(is_ready, 60, "ready")
    on_the_way = [each for each in seen if each["stage"] == "downloading" and each["download"]["bytes_total"]]
    counts = [each["download"]["bytes_done"] for each in on_the_way]
    assert counts == sorted(counts)
    assert len(set(counts)) >= 5
    assert {each["download"]["bytes_total"] for each in on_the_way} == {TOTAL_BYTES}
    assert 1_000_000 < max(each["download"]["bytes_per_s"] for each in on_the_way) < 6_000_000
    shares = [each["progress"] for each in seen]
    assert shares == sorted(shares)
    assert any(0.15 < each["progress"] < 0.5 for each in on_the_way)
    took = {each["stage"]: each["seconds"] for each in seen[-1]["stages"]}
    assert list(took) == ["downloading", "starting", "warming_up", "ready"]
    assert took["downloading"] > TOTAL_BYTES / 3_000_000 / 2


@heavy
def test_second_launch_has_the_files(client: RESTfulClient, server: Hub, launch: Launch) -> None:
    launch("fetched-once", wait_ready=True)
    fetched = len(server.files_fetched)
    uid = launch("fetched-twice", wait_ready=True)
    assert len(server.files_fetched) == fetched
    (replica,) = client.get_launch_model_progress(uid)["replicas"]
    assert replica["download"] is None
    assert "downloading" not in [each["stage"] for each in replica["stages"]]


@heavy
def test_cancel(cluster: RunningCluster, client: RESTfulClient, server: Hub, launch: Launch, tmp_path: Path) -> None:
    """No half file stays but those that the next launch goes on with."""
    server.rate_bytes_per_s = SLOW_BYTES_PER_S
    before = Traces.of_cluster(cluster)
    uid = launch("fetch-cancelled")
    wait_for(lambda: downloading(client, uid), 30, "some bytes")
    (replica,) = cancelled_cleanly(cluster, client, uid, before)["replicas"]
    assert replica["stages"][0]["stage"] == "downloading"
    server.rate_bytes_per_s = None
    assert launch(uid, wait_ready=True) == uid


@pytest.mark.parametrize(("refusal", "reason"), [("missing", REPO), ("gated", "licence"), ("broken", "500")])
def test_failure(
    cluster: RunningCluster, client: RESTfulClient, server: Hub, launch: Launch, refusal: Any, reason: str
) -> None:
    server.refusals[REPO] = refusal
    before = Traces.of_cluster(cluster)
    uid = f"fetch-{refusal}"
    with pytest.raises(LaunchFailed, match=reason):
        launch(uid, wait_ready=True)
    (replica,) = failed_cleanly(cluster, client, uid, before, reason)["replicas"]
    assert replica["stages"][-1]["stage"] == "failed"
    client.terminate_model(uid)


@heavy
@pytest.mark.engine
def test_vllm_takes_what_was_downloaded(client: RESTfulClient, server: Hub, launch: Launch) -> None:
    """By a hub id that is in no catalog; its small files are read with the launch's environment, too."""
    asked = {"model_engine": "vLLM", "model_size_in_billions": None, "model_path": "owner/mine", "enforce_eager": True}
    launch("mine", name="mine", wait_ready=True, **asked)
    (replica,) = client.get_launch_model_progress("mine")["replicas"]
    assert "downloading" in [each["stage"] for each in replica["stages"]]
    assert server.files_fetched.count("model.safetensors") == 1
    answer = client.get_model("mine").chat([{"role": "user", "content": "Hello"}])  # type: ignore[attr-defined]
    assert answer["choices"][0]["message"]["content"]
