"""A launch by name over the wire: the model that fits is launched, and the answer says why."""

from __future__ import annotations

import httpx
import pytest

from supervisor.api import render as views
from supervisor.api.launch_progress import progress
from supervisor.nodes import gpu_inventory as hardware
from tests.supervisor.nodes.ray_nodes import LABELS, ray_node
from tests.supervisor.samples import model_status
from tests.supervisor.servers import RegistryDouble
from xinfer.messages import ModelSpec, ModelState, ModelStatus

NO_WAIT = {"wait_ready": "false"}


@pytest.fixture
def launched(registry: RegistryDouble, monkeypatch: pytest.MonkeyPatch) -> list[ModelSpec]:
    """What the registry was told to launch, on a cluster of one node with two GPUs of 80 GiB."""
    specs: list[ModelSpec] = []

    async def launch(spec: ModelSpec) -> None:
        specs.append(spec)
        await registry.tell(*(ModelStatus(spec, ModelState.LAUNCHING) for spec in specs))

    monkeypatch.setattr(registry, "launch", launch)
    monkeypatch.setattr(hardware, "open_nodes", lambda: [{**ray_node("a", 2, **LABELS), "NodeID": "1"}])
    return specs


async def test_answer_says_why(http: httpx.AsyncClient, launched: list[ModelSpec]) -> None:
    body = {"model_name": "qwen3", "model_format": "pytorch", "model_uid": "m"}
    reply = await http.post("/v1/models", json=body, params=NO_WAIT)
    assert reply.status_code == 200, reply.text
    why = "qwen3 32B is the largest that fits 1 GPU of 80 GiB."
    assert reply.json()["model_uid"] == "m"
    assert reply.json()["why"].startswith(why)
    assert (launched[0].path, launched[0].gpus) == ("Qwen/Qwen3-32B", 1)
    assert launched[0].chosen_because == reply.json()["why"]


async def test_gpus_of_a_launch_under_way_are_taken(http: httpx.AsyncClient, launched: list[ModelSpec]) -> None:
    body = {"model_name": "qwen3", "model_format": "awq"}
    for _ in range(2):
        assert (await http.post("/v1/models", json={**body, "replica": 1}, params=NO_WAIT)).status_code == 200
    third = await http.post("/v1/models", json=body, params=NO_WAIT)
    assert third.status_code == 400
    assert "0 of the cluster's GPUs are free" in third.json()["error"]["message"]
    assert third.json()["error"]["param"] == "n_gpu"
    assert [spec.gpus for spec in launched] == [1, 1]


async def test_nothing_is_said_where_there_was_no_choice(http: httpx.AsyncClient, launched: list[ModelSpec]) -> None:
    reply = await http.post("/v1/models", json={"model_name": "tiny-chat", "model_uid": "t"}, params=NO_WAIT)
    assert reply.json() == {"model_uid": "t"}
    assert (launched[0].gpus, launched[0].context_length) == (1, None)


def test_reason_is_shown_with_the_model_and_with_its_progress() -> None:
    chosen = model_status(chosen_because="It fits.")
    assert (views.describe(chosen)["chosen_because"], progress(chosen, 0)["why"]) == ("It fits.", "It fits.")
    assert (views.describe(model_status())["chosen_because"], progress(model_status(), 0)["why"]) == (None, None)
