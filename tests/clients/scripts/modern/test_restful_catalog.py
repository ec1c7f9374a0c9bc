"""``xinference-client``: families, those that users register, engines, and files in the cache."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from shared import MODEL_FOLDER


@pytest.fixture
async def family(client: Any) -> AsyncIterator[dict[str, Any]]:
    """A family as people write one for Xinference; it is gone again when the test ends."""
    name = f"my-family-{uuid4().hex[:8]}"
    spec = {
        "model_format": "pytorch",
        "model_size_in_billions": "0_6",
        "quantizations": ["none"],
        "model_id": "somebody/something",
        "model_uri": f"file://{MODEL_FOLDER}",
    }
    yield {
        "version": 1,
        "context_length": 2048,
        "model_name": name,
        "model_lang": ["en"],
        "model_ability": ["generate", "chat"],
        "model_description": "Ours.",
        "model_family": "qwen3",
        "model_specs": [spec],
    }
    if name in [row["model_name"] for row in await client.list_model_registrations("LLM")]:
        await client.unregister_model("LLM", name)


async def test_registered_family(client: Any, family: dict[str, Any]) -> None:
    name = family["model_name"]
    assert await client.register_model("LLM", json.dumps(family), persist=True) is None
    rows = {row["model_name"]: row for row in await client.list_model_registrations("LLM")}
    assert rows[name]["is_builtin"] is False
    assert rows["qwen3"]["is_builtin"] is True
    found = await client.get_model_registration("LLM", name)
    shown = ("model_name", "model_lang", "model_description", "context_length")
    assert {key: found[key] for key in shown} == {key: family[key] for key in shown}
    assert {"chat", "generate"} <= set(found["model_ability"])
    (spec,) = (await client.query_engine_by_model_name(name))["vLLM"]
    assert spec["model_format"] == "pytorch"
    assert await client.unregister_model("LLM", name) is None
    with pytest.raises(RuntimeError, match=f"Failed to list model registration, detail: .*{name}"):
        await client.get_model_registration("LLM", name)


async def test_refused_registrations_name_the_field(client: Any, family: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match=r"Failed to register model, detail: .*model_ability"):
        await client.register_model("LLM", json.dumps({**family, "model_ability": ["fly"]}), persist=False)
    with pytest.raises(RuntimeError, match=r"Failed to register model, detail: .*model_specs"):
        await client.register_model("LLM", json.dumps({**family, "model_specs": []}), persist=False)
    with pytest.raises(RuntimeError, match=r"Failed to register model, detail: .*JSON"):
        await client.register_model("LLM", "{not json", persist=False)
    with pytest.raises(RuntimeError, match=r"Failed to register model, detail: .*qwen3"):
        await client.register_model("LLM", json.dumps({**family, "model_name": "qwen3"}), persist=False)
    with pytest.raises(RuntimeError, match=r"Failed to register model, detail: .*language models"):
        await client.register_model("embedding", json.dumps(family), persist=False)


async def test_refused_removals_say_why(client: Any) -> None:
    with pytest.raises(RuntimeError, match=r"detail: .*nobody"):
        await client.unregister_model("LLM", "nobody")
    with pytest.raises(RuntimeError, match=r"detail: .*qwen3"):
        await client.unregister_model("LLM", "qwen3")


async def test_registrations_in_full(client: Any) -> None:
    if "detailed" not in inspect.signature(client.wrapped.list_model_registrations).parameters:
        pytest.skip("this client cannot ask for it")
    rows = await client.list_model_registrations("LLM", detailed=True)
    (found,) = [row for row in rows if row["model_name"] == "qwen3"]
    assert {"chat", "hybrid"} <= set(found["model_ability"])
    assert all({"model_format", "model_size_in_billions"} <= set(spec) for spec in found["model_specs"])


@pytest.mark.parametrize("model_type", ["LLM", None])
async def test_query_engine_by_model_name(client: Any, model_type: str | None) -> None:
    rows = (await client.query_engine_by_model_name("qwen3", model_type, enable_virtual_env=False))["vLLM"]
    assert {row["model_name"] for row in rows} == {"qwen3"}
    assert {"pytorch", "fp8"} <= {row["model_format"] for row in rows}
    assert all(row["quantizations"] for row in rows)
    with pytest.raises(RuntimeError, match=r"Failed to query engine parameters by model name, detail: .*nobody"):
        await client.query_engine_by_model_name("nobody", model_type)


async def test_vllm_models(client: Any) -> None:
    found = await client.vllm_models()
    assert "qwen3" in found["chat"]
    assert "opt" in found["generate"]


async def test_other_types_have_no_families(client: Any) -> None:
    with pytest.raises(RuntimeError, match=r"Failed to list model registration, detail: .*language models"):
        await client.list_model_registrations("embedding")


async def test_cached_models(client: Any) -> None:
    """Whatever this machine's cache holds: each entry can be asked for its files."""
    found = await client.list_cached_models()
    keys = {"model_name", "model_format", "quantization", "model_version", "path", "actor_ip_address"}
    assert all(keys <= set(row) for row in found)
    for row in found[:1]:
        files = await client.list_deletable_models(row["model_version"])
        assert {"model_version", "worker_ip", "paths"} <= set(files)
    assert await client.list_cached_models(model_name="no-such-family") == []


async def test_cached_model_that_is_not_there(client: Any) -> None:
    with pytest.raises(RuntimeError, match=r"Failed to remove cached models, detail: .*no-such-version"):
        await client.confirm_and_remove_model("no-such-version")
