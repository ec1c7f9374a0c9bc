"""Models on the wire, in the shapes of contract section 1.3."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from supervisor.api import render
from tests.supervisor.samples import model_status, report, spec, times
from xinfer.messages import FollowerReport, ModelState, ReplicaReport, ReplicaStage

CONTRACT_FIELDS = {
    "model_type": str,
    "model_name": str,
    "model_lang": list,
    "model_ability": list,
    "model_description": str,
    "model_format": str,
    "model_family": str,
    "quantization": str,
    "model_hub": str,
    "context_length": int,
    "accelerators": list,
    "replica": int,
    "address": str,
}


def test_description_has_the_contract_s_fields() -> None:
    ready = report(context_length=2048, gpu_ids=("1", "0"))
    told = render.describe(model_status(ready, size_in_billions="0.6", languages=("en",), abilities=("chat", "tools")))
    assert {name: type(told[name]) for name in CONTRACT_FIELDS} == CONTRACT_FIELDS
    assert {"multimodal_projector", "revision"} <= told.keys()
    assert told["model_type"] == "LLM"
    assert told["model_ability"] == ["chat", "tools"]
    assert (told["model_size_in_billions"], told["context_length"]) == (0.6, 2048)
    assert (told["quantization"], told["accelerators"], told["address"]) == ("none", ["0", "1"], ready.address)
    assert (told["idle_timeout"], told["kv_cache_gib"]) == (None, None)


def test_sleeping_model_is_described_as_any_other() -> None:
    told = render.describe(model_status(state=ModelState.SLEEPING, idle_timeout_s=60.0, kv_cache_gib=2.5, replicas=2))
    assert (told["id"], told["status"], told["idle_timeout"], told["kv_cache_gib"]) == ("m", "SLEEPING", 60.0, 2.5)
    assert (told["replica"], told["address"], told["model_ability"]) == (2, None, ["chat"])


def test_description_has_openai_s_fields_and_vllm_s() -> None:
    told = render.describe(model_status(report(context_length=2048), created_at=1234.7, path="org/name"))
    assert {name: told[name] for name in ("id", "object", "created", "owned_by", "root", "max_model_len")} == {
        "id": "m",
        "object": "model",
        "created": 1234,
        "owned_by": "xinfer",
        "root": "org/name",
        "max_model_len": 2048,
    }


@pytest.mark.parametrize(
    ("facts", "lengths", "shown"),
    [
        ({}, [], 0),
        ({"usual_context_length": 40960}, [], 40960),
        ({"usual_context_length": 40960, "context_length": 1024}, [], 1024),
        ({"context_length": 1024}, [512, 256], 256),
    ],
)
def test_context_length_is_always_a_number(facts: dict[str, int], lengths: list[int], shown: int) -> None:
    """LlamaIndex takes no null."""
    replicas = [report(f"r{n}", context_length=n) for n in lengths]
    assert render.describe(model_status(*replicas, **facts))["context_length"] == shown


@pytest.mark.parametrize(
    ("text", "shown"), [(None, None), ("8", 8), ("0.6", 0.6), ("1_8", 1.8), ("30-A3", "30-A3"), ("7.0", 7)]
)
def test_size(text: str | None, shown: Any) -> None:
    assert render.describe(model_status(size_in_billions=text))["model_size_in_billions"] == shown


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (ModelState.PENDING, "CREATING"),
        (ModelState.LAUNCHING, "LOADING"),
        (ModelState.READY, "READY"),
        (ModelState.TERMINATING, "TERMINATING"),
        (ModelState.DRAINING, "SLEEPING"),
        (ModelState.SLEEPING, "SLEEPING"),
        (ModelState.FAILED, "ERROR"),
    ],
)
def test_instance_says_its_state_in_the_contract_s_words(state: ModelState, status: str) -> None:
    told = render.instance(model_status(report(), state=state, created_at=5.5, size_in_billions="8"))
    assert told["status"] == status
    assert told["model_version"] == "family--8B--pytorch--none"
    assert (told["instance_created_ts"], told["replica"], told["n_worker"]) == (5, 1, 1)
    assert len(told["replica_statuses"]) == 1


def test_replica_that_spans_nodes() -> None:
    follower = FollowerReport(1, "10.0.0.2", ReplicaStage.READY, 9, ("0",))
    model = model_status(report(node="10.0.0.1", gpu_ids=("3",), followers=(follower,)), gpus=1, workers=2)
    (told,) = render.replicas(model)
    assert [(each["rank"], each["worker_address"], each["pid"]) for each in told["workers"]] == [
        (0, "10.0.0.1", None),
        (1, "10.0.0.2", 9),
    ]
    described = render.describe(model)
    assert (described["n_worker"], described["accelerators"]) == (2, ["0", "3"])
    assert render.instance(model)["n_worker"] == 2


@pytest.mark.parametrize(
    ("gpus", "words"),
    [(4, "waiting for 2 nodes with 4 GPUs each; 6 free in the cluster"), (0, "waiting for 2 nodes")],
)
def test_what_a_replica_that_spans_nodes_waits_for(gpus: float, words: str) -> None:
    assert render.waiting_for(spec(gpus=gpus, workers=2), 6 if gpus else None) == words


def test_replica_status() -> None:
    ready = report(node="10.0.0.1", gpu_ids=("3",), created_at=7.9)
    (told,) = render.replicas(model_status(ready))
    assert told == {
        "replica_id": 0,
        "replica_uid": "r1",
        "replica_model_uid": "m-rep0",
        "worker_address": "10.0.0.1",
        "model_address": ready.address,
        "accelerators": ["3"],
        "gpu_idx": [3],
        "workers": [
            {
                "rank": 0,
                "worker_address": "10.0.0.1",
                "model_state": "ready",
                "accelerators": ["3"],
                "pid": None,
                "info": "",
                "download": None,
            }
        ],
        "status": "READY",
        "model_state": "ready",
        "created_ts": 7,
        "error_message": None,
    }


def test_replicas_of_a_failed_launch_say_why() -> None:
    (told,) = render.replicas(model_status(state=ModelState.FAILED, reason="out of memory"))
    assert (told["status"], told["error_message"], told["model_state"]) == ("ERROR", "out of memory", "failed")


def test_replica_on_its_way_up() -> None:
    (told,) = render.replicas(model_status(report("r1", ReplicaStage.LOADING), state=ModelState.LAUNCHING))
    assert (told["status"], told["model_state"], told["model_address"]) == ("LOADING", "loading", None)


@pytest.mark.parametrize(
    ("coming", "gpus", "free", "reason"),
    [
        ((), 1.0, 0.0, "1 of 2 replicas take requests; another one is waiting for 1 GPU; 0 free in the cluster."),
        ((), 2.0, None, "1 of 2 replicas take requests; another one is waiting for 2 GPUs on one node."),
        ((), 0.0, None, "1 of 2 replicas take requests; another one is waiting for a node."),
        ((report("r2", ReplicaStage.LOADING),), 1.0, None, "1 of 2 replicas take requests; another one is loading."),
    ],
)
def test_degraded(coming: tuple[ReplicaReport, ...], gpus: float, free: float | None, reason: str) -> None:
    """Xinference's clients see a model that is READY, ours see what is missing and why."""
    model = model_status(report(), *coming, replicas=2, gpus=gpus, times=times(ready=1.0))
    shown = render.instance(model, free)
    assert (shown["status"], shown["state"], shown["reason"]) == ("READY", "DEGRADED", reason)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (
            {"gpus": 1, "node_labels": {"gpu": "A100"}},
            "1 replica, waiting for 1 GPU (gpu=A100), which Ray's autoscaler is asked for; 0 free in the cluster",
        ),
        (
            {"gpus": 4, "replicas": 2},
            "2 replicas, waiting for 4 GPUs on one node, which Ray's autoscaler is asked for; 0 free in the cluster",
        ),
    ],
)
def test_waiting_for_capacity(facts: dict[str, Any], reason: str) -> None:
    shown = render.instance(model_status(state=ModelState.PENDING, wait_for_capacity=True, **facts), 0.0)
    assert (shown["status"], shown["state"], shown["reason"]) == ("CREATING", "PENDING", reason)


def test_not_degraded() -> None:
    launched = model_status(report(), replicas=2)
    complete = model_status(report(), report("r2"), replicas=2, times=times(ready=1.0))
    for model in (launched, complete, replace(launched, times=times(ready=1.0), scaling=True)):
        shown = render.instance(model)
        assert (shown["status"], shown["state"], shown["reason"]) == ("READY", "READY", None)
