"""``xinference-client``: launching, following, scaling and terminating, on the engine that is there for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from shared import MODEL, MODEL_FOLDER


@pytest.fixture
async def uid(client: Any) -> AsyncIterator[str]:
    """A UID of the test's own, which is free again when it ends."""
    uid = f"client-{uuid4().hex[:8]}"
    yield uid
    if await client.get_instance_info("fake", uid):
        await client.terminate_model(uid)


async def launch(client: Any, uid: str, **options: Any) -> str:
    """Launch a fake engine; what tells xinfer's behave otherwise is passed on like any argument of an engine."""
    fixed = {"model_engine": "fake", "model_path": MODEL_FOLDER, "n_gpu": None}
    found: str = await client.launch_model("fake", model_uid=uid, **fixed, **options)
    return found


async def test_life_of_a_model(client: Any, uid: str) -> None:
    assert await launch(client, uid, wait_ready=False, enable_thinking=False, request_limits=7) == uid
    progress: dict[str, Any] = {}
    while progress.get("progress", 0) < 1:
        progress = await client.get_launch_model_progress(uid)
        assert {"progress", "stage", "replicas", "download_files"} <= set(progress)
        assert progress["stage"] not in ("failed", "cancelled"), progress
        await asyncio.sleep(0.1)
    (instance,) = await client.get_instance_info("fake", uid)
    assert instance["status"] == "READY"
    assert [replica["status"] for replica in instance["replica_statuses"]] == ["READY"]
    listed = (await client.list_models())[uid]
    described = await client.describe_model(uid)
    assert listed["id"] == uid
    assert {name: listed[name] for name in described} == described
    assert described["replica"] == 1
    await grows_and_shrinks(client, uid)
    assert await client.terminate_model(uid) is None
    assert uid not in await client.list_models()
    assert await client.get_instance_info("fake", uid) == []


async def grows_and_shrinks(client: Any, uid: str) -> None:
    """One replica more and one less, of a model that has one."""
    added = await client.add_model_replica(uid)
    assert {"replica_id", "replica_model_uid", "worker_address"} <= set(added)
    assert (await client.describe_model(uid))["replica"] == 2
    assert await client.terminate_model_replica(uid, added["replica_id"]) == 1
    assert (await client.describe_model(uid))["replica"] == 1


async def test_cancel_launch_model(client: Any, uid: str) -> None:
    await launch(client, uid, start_s=60, wait_ready=False)
    assert await client.cancel_launch_model(uid) is None
    assert await client.get_instance_info("fake", uid) == []
    assert (await client.get_launch_model_progress(uid))["stage"] == "cancelled"


async def test_describe_model(client: Any) -> None:
    """What Xinference's clients and LlamaIndex read of a model."""
    found = await client.describe_model(MODEL)
    assert found["model_type"] == "LLM"
    assert {"chat", "generate"} <= set(found["model_ability"])
    assert found["model_name"] == "tiny-chat"
    assert found["context_length"] == 4096
    texts = ("model_description", "model_format", "quantization", "model_hub", "address")
    assert all(isinstance(found[name], str) for name in texts)
    others = ("model_lang", "model_size_in_billions", "revision", "accelerators", "multimodal_projector", "n_worker")
    assert set(others) <= set(found)


async def test_failed_launch_says_why(client: Any, uid: str) -> None:
    with pytest.raises(RuntimeError, match=r"Failed to launch model.*no room today"):
        await launch(client, uid, start_error="no room today")
    (instance,) = await client.get_instance_info("fake", uid)
    assert instance["status"] == "ERROR"
    assert "no room today" in instance["replica_statuses"][0]["error_message"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"model_name": "no-such-family"}, "no-such-family"),
        ({"model_name": "qwen3", "model_size_in_billions": "9"}, "qwen3"),
        ({"model_name": "tiny-chat", "worker_ip": "127.0.0.9:1"}, "worker_ip"),
        ({"model_name": "tiny-chat", "gpu_idx": [0]}, "gpu_idx"),
        ({"model_name": "tiny-chat", "peft_model_config": {"lora_list": [{"lora_name": "a"}]}}, "peft_model_config"),
        ({"model_name": "tiny-chat", "replica_config": [{"devices": []}]}, "replica_config"),
        ({"model_name": "tiny-chat", "model_engine": "llama.cpp"}, "llama.cpp"),
        ({"model_name": "tiny-chat", "model_uid": MODEL, "n_gpu": None}, "in use"),
        ({"model_name": "tiny-chat", "n_gpu": 64}, "64"),
        ({"model_name": "tiny-chat", "model_type": "embedding"}, "language models"),
        ({"model_name": "tiny-chat", "replica": 0}, "replica"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_refused_launch_says_why(client: Any, options: dict[str, Any], why: str) -> None:
    with pytest.raises(RuntimeError, match=f"Failed to launch model, detail: .*{why}"):
        await client.launch_model(**{"model_engine": "vLLM", **options})


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("get_model", ()),
        ("describe_model", ()),
        ("terminate_model", ()),
        ("get_launch_model_progress", ()),
        ("cancel_launch_model", ()),
        ("add_model_replica", ()),
        ("terminate_model_replica", (0,)),
        ("abort_request", ("a-request",)),
    ],
)
async def test_unknown_model_is_named(client: Any, method: str, more: tuple[Any, ...]) -> None:
    with pytest.raises(RuntimeError, match=r"detail: There is no model 'nobody'"):
        await getattr(client, method)("nobody", *more)


async def test_replica_that_is_not_there(client: Any) -> None:
    with pytest.raises(RuntimeError, match=r"Failed to terminate model replica, detail: .*7"):
        await client.terminate_model_replica(MODEL, 7)
    with pytest.raises(RuntimeError, match=r"Failed to add model replica, detail: .*replica_config"):
        await client.add_model_replica(MODEL, replica_config={"devices": []})
