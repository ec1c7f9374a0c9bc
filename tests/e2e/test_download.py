"""Launches by hub id: what is downloaded is shown, and is there for the next launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, wait_for
from tests.hub import Hub, serving
from xinfer.client import RESTfulClient
from xinfer.errors import LaunchFailed

MODEL = ROOT / "xinfer" / "tiny_chat" / "model"
QWEN3 = {"model_name": "qwen3", "model_size_in_billions": "0.6", "n_gpu": None}
"""A family whose model is on the hub; the tests' hub serves tiny-chat under its id."""


@pytest.fixture
def server() -> Iterator[Hub]:
    """A hub that has tiny-chat, under every id."""
    with serving(Hub(MODEL)) as server:
        yield server


@pytest.fixture
def envs(server: Hub, tmp_path: Path) -> dict[str, str]:
    """What sends a launch there."""
    return {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path / "home")}


@pytest.fixture
def launch(client: RESTfulClient, envs: dict[str, str]) -> Iterator[Callable[..., str]]:
    """Launch a model of that hub; it is terminated with the test."""
    uids: set[str] = set()

    def launch(uid: str, **options: Any) -> str:
        uids.add(uid)
        return client.launch_model(model_uid=uid, **{**QWEN3, "envs": envs, **options})

    yield launch
    for uid in uids & set(client.list_models()):
        client.terminate_model(uid)


def stages(progress: dict[str, Any]) -> list[str]:
    return [each["stage"] for each in progress["replicas"][0]["stages"]]


def test_a_launch_shows_its_download(server: Hub, client: RESTfulClient, launch: Callable[..., str]) -> None:
    server.rate_bytes_per_s = 3_000_000
    launch("fetched", model_engine="fake", wait_ready=False)
    total = sum(file.stat().st_size for file in MODEL.iterdir())
    seen = []

    def is_ready() -> bool:
        progress = client.get_launch_model_progress("fetched")
        assert progress["stage"] != "failed", progress["error"]
        if progress["stage"] == "downloading" and (download := progress["replicas"][0]["download"]):
            seen.append(download)
        return bool(progress["stage"] == "ready")

    wait_for(is_ready, 60, "the launch")
    done = [download["bytes_done"] for download in seen]
    assert len(set(done)) >= 3
    assert done == sorted(done)
    assert {download["bytes_total"] for download in seen} == {total}
    assert any(1_000_000 < download["bytes_per_s"] < 5_000_000 for download in seen)
    assert "downloading" in stages(client.get_launch_model_progress("fetched"))

    client.terminate_model("fetched")
    launch("fetched-again", model_engine="fake")
    assert "downloading" not in stages(client.get_launch_model_progress("fetched-again"))
    assert server.files_fetched.count("model.safetensors") == 1


def test_a_download_that_is_refused(server: Hub, launch: Callable[..., str]) -> None:
    server.refusals["Qwen/Qwen3-0.6B"] = "gated"
    with pytest.raises(LaunchFailed, match=r"Qwen/Qwen3-0.6B is a gated repo: .+ launch with --env HF_TOKEN"):
        launch("gated", model_engine="fake")


@pytest.mark.engine
def test_vllm_takes_what_was_downloaded(server: Hub, client: RESTfulClient, launch: Callable[..., str]) -> None:
    """By a hub id that is in no catalog; its small files are read with the launch's environment, too."""
    launch("mine", model_name="mine", model_size_in_billions=None, model_path="owner/mine", enforce_eager=True)
    assert "downloading" in stages(client.get_launch_model_progress("mine"))
    assert server.files_fetched.count("model.safetensors") == 1
    answer = client.get_model("mine").chat([{"role": "user", "content": "Hello"}])  # type: ignore[attr-defined]
    assert answer["choices"][0]["message"]["content"]
