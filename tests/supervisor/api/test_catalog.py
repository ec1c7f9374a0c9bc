"""REST: families, registrations, engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.catalog.samples import PLAIN
from tests.supervisor.servers import RegistryDouble
from xinfer.messages import Registration
from xinfer.tiny_chat import model_path

PATH = "/v1/model_registrations/LLM"
WHALE: dict[str, Any] = {
    "model_name": "whale",
    "model_lang": ["en"],
    "model_ability": ["chat", "tools", "reasoning", "hybrid"],
    "model_family": "qwen3",
    "chat_template": PLAIN,
    "stop": ["<|im_end|>"],
    "model_specs": [
        {"model_format": "pytorch", "model_size_in_billions": "0_004", "model_uri": f"file://{model_path()}"},
        {
            "model_format": "gptq",
            "model_size_in_billions": 7,
            "quantizations": ["Int4", "Int8"],
            "model_id": "sea/{quantization}",
        },
    ],
}


async def register(http: httpx.AsyncClient, model: Any = WHALE, **fields: Any) -> httpx.Response:
    """As Xinference's clients do it."""
    body = {"model": json.dumps(model), "worker_ip": None, "persist": True, **fields}
    return await http.post(PATH, json=body)


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A hub cache of the test's own."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


async def test_a_registered_family_is_there_with_the_answer(http: httpx.AsyncClient) -> None:
    answer = await register(http)
    assert (answer.status_code, answer.json()) == (200, None)
    brief = {each["model_name"]: each["is_builtin"] for each in (await http.get(PATH)).json()}
    assert (brief["whale"], brief["qwen3"]) == (False, True)
    families = (await http.get("/v1/models/families")).json()
    assert all("whale" in families[ability] for ability in WHALE["model_ability"])
    assert "whale" not in families["vision"]
    assert "whale" in (await http.get("/v1/models/vllm-supported")).json()["chat"]
    prompt = (await http.get("/v1/models/prompts")).json()["whale"]
    assert (prompt["chat_template"], prompt["stop"], prompt["reasoning_end_tag"]) == (PLAIN, ["<|im_end|>"], "</think>")


async def test_it_can_be_seen_in_full_and_registered_again(http: httpx.AsyncClient) -> None:
    await register(http)
    full = (await http.get(f"{PATH}/whale")).json()
    assert (full["model_family"], full["is_builtin"], full["version"]) == ("whale", False, 2)
    assert (full["reasoning_parser"], full["tool_parser"]) == ("qwen3", "hermes")
    folder, int4, int8 = full["model_specs"]
    assert (folder["model_uri"], folder["model_id"], folder["cache_status"]) == (str(model_path()), None, True)
    assert (int4["model_id"], int4["quantization"], int4["cache_status"]) == ("sea/Int4", "Int4", False)
    assert [spec["model_size_in_billions"] for spec in (folder, int4, int8)] == ["0_004", 7, 7]
    assert full in (await http.get(PATH, params={"detailed": "true"})).json()
    again = await register(http, {**full, "model_name": "orca"})
    assert again.status_code == 200, again.text
    orca = (await http.get(f"{PATH}/orca")).json()
    own = {"model_name", "model_family", "definition"}
    assert {k: v for k, v in orca.items() if k not in own} == {k: v for k, v in full.items() if k not in own}


async def test_it_goes(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await register(http)
    answer = await http.delete(f"{PATH}/WHALE")
    assert (answer.status_code, answer.json(), registry.families.texts) == (200, None, ())
    assert (await http.get(f"{PATH}/whale")).status_code == 404
    assert (await http.delete(f"{PATH}/whale")).status_code == 404
    assert (await register(http)).status_code == 200


async def test_what_the_registry_keeps(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await register(http, persist=False)
    kept = registry.families.remove("whale")
    assert (kept.name, kept.persist) == ("whale", False)
    assert json.loads(kept.family)["specs"][1]["quantizations"] == ["Int4", "Int8"]


async def test_an_object_in_xinfers_format_will_do(http: httpx.AsyncClient) -> None:
    spec = {"size_in_billions": "7", "model_id": "sea/whale"}
    ours = {"name": "whale", "description": "", "languages": [], "abilities": ["generate"], "context_length": 9}
    answer = await http.post(PATH, json={"model": {**ours, "specs": [spec]}})
    assert (answer.status_code, answer.json()) == (200, None)
    assert (await http.get(f"{PATH}/whale")).json()["definition"]["specs"] == [spec]


def ours(**changes: Any) -> dict[str, Any]:
    spec = {"size_in_billions": "7", "model_id": "sea/whale"}
    facts = {"name": "w", "description": "", "languages": [], "abilities": ["generate"], "context_length": 9}
    return {**facts, "specs": [spec], **changes}


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({**WHALE, "model_name": "qwen3"}, "model_name: 'qwen3' comes with xinfer"),
        ({**WHALE, "model_name": "QWEN3"}, "model_name: 'qwen3' comes with xinfer"),
        ({**WHALE, "model_name": "Orca"}, "model_name: 'orca' is registered already"),
        ({**WHALE, "model_specs": []}, "model_specs: "),
        (ours(engine_args={"api_key": "x"}), "engine_args: xinfer sets api_key itself"),
        (ours(engine_args={"middl": "x"}), "engine_args: xinfer sets middleware itself"),
        (ours(engine_args={"gpu_memory_util": 0.9}), "engine_args: gpu_memory_utilization"),
        ("[]", "model: "),
    ],
)
async def test_refusals(http: httpx.AsyncClient, registry: RegistryDouble, model: Any, says: str) -> None:
    await register(http, {**WHALE, "model_name": "orca"})
    before = registry.families.texts
    answer = await register(http, model)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "family_refused")
    assert answer.json()["detail"].startswith(says)
    assert registry.families.texts == before


async def test_the_registry_has_the_last_word(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    """Another supervisor may have been asked a moment ago."""
    registry.families.add(Registration("whale", "{}"))
    answer = await register(http)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "family_refused")
    assert registry.families.texts == ("{}",)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "model"),
        ({"model": 7}, "model"),
        ({"model": "{}", "persist": "x"}, "persist"),
        ({"model": "{}", "worker_ip": "a"}, "worker_ip"),
    ],
)
async def test_bodies_that_are_none(http: httpx.AsyncClient, body: Any, field: str) -> None:
    error = (await http.post(PATH, json=body)).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_body", field)


async def test_what_comes_with_xinfer_stays(http: httpx.AsyncClient) -> None:
    answer = await http.delete(f"{PATH}/qwen3")
    assert (answer.status_code, "comes with xinfer" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_only_language_models(http: httpx.AsyncClient, method: str) -> None:
    path = "/v1/model_registrations/embedding" + ("/x" if method == "DELETE" else "")
    assert (await http.request(method, path)).status_code == 404


async def test_web_pages_register_nothing(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    answer = await http.post(PATH, json={"model": json.dumps(WHALE)}, headers={"origin": "http://evil.example"})
    assert (answer.status_code, registry.families.texts) == (403, ())


@pytest.mark.parametrize("path", ["/v1/engines/whale", "/v1/engines/LLM/Whale", "/v1/engines/llm/whale"])
async def test_engines(http: httpx.AsyncClient, path: str) -> None:
    await register(http)
    rows = (await http.get(path)).json()
    assert rows == {
        "vLLM": [
            {
                "model_name": "whale",
                "model_format": "pytorch",
                "model_size_in_billions": "0_004",
                "quantizations": ["none"],
            },
            {
                "model_name": "whale",
                "model_format": "gptq",
                "model_size_in_billions": 7,
                "quantizations": ["Int4", "Int8"],
            },
        ]
    }


async def test_versions_and_what_the_cache_has(
    http: httpx.AsyncClient, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.api.catalog.head_address", lambda: "10.0.0.1")
    await register(http)
    snapshot = empty_cache / "models--sea--Int8" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}'
    )
    (snapshot / "1.safetensors").touch()
    path = "/v1/models/LLM/whale/versions"
    folder, int4, int8 = (await http.get(path)).json()
    assert folder["model_version"] == "whale--0.004B--pytorch--none"
    assert folder["model_file_location"] == {"10.0.0.1": str(model_path())}
    assert (int4["cache_status"], int8["cache_status"], int8["model_file_location"]) == (False, False, None)
    (snapshot / "2.safetensors").touch()
    int8 = (await http.get(path)).json()[2]
    assert (int8["cache_status"], int8["model_file_location"]) == (True, {"10.0.0.1": str(snapshot)})


async def test_a_folder_described_can_be_registered(http: httpx.AsyncClient) -> None:
    body = {"model_path": str(model_path()), "model_family": "tiny-chat"}
    suggested = await http.post("/v1/models/llm/auto-register", json=body)
    assert suggested.status_code == 200, suggested.text
    assert (await register(http, suggested.json())).status_code == 200
    refused = await http.post("/v1/models/llm/auto-register", json={"model_path": "/no/such/folder"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model_path")


async def test_one_that_cannot_be_read_is_left_out(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    """It was registered with another version of xinfer."""
    registry.families.add(Registration("old", '{"name": "old", "shape": "round"}'))
    await registry.tell()
    names = [each["model_name"] for each in (await http.get(PATH)).json()]
    assert ("old" in names, "qwen3" in names) == (False, True)
