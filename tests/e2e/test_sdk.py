"""The Python SDK and the command line on real vLLM, as the README shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import RunningCluster
from xinfer.client import AsyncRESTfulClient, RESTfulChatModelHandle, RESTfulClient
from xinfer.client.async_handles import AsyncRESTfulChatModelHandle
from xinfer.errors import ModelNotFound

pytestmark = pytest.mark.engine

MESSAGES = [{"role": "user", "content": "What is the largest animal?"}]
GREEDY = {"max_tokens": 512, "temperature": 0}


@pytest.fixture
def model(client: RESTfulClient, tiny_chat: str) -> RESTfulChatModelHandle:
    model = client.get_model(tiny_chat)
    assert isinstance(model, RESTfulChatModelHandle)
    return model


def message(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = answer["choices"][0]["message"]
    return found


def test_chat(model: RESTfulChatModelHandle) -> None:
    answer = model.chat(MESSAGES, generate_config={"max_tokens": 512, "temperature": 0.7})
    assert "blue whale" in message(answer)["content"].lower()


@pytest.mark.parametrize(
    "how",
    [
        {"enable_thinking": False, "generate_config": GREEDY},
        {"generate_config": {**GREEDY, "chat_template_kwargs": {"enable_thinking": False}}},
        {"generate_config": {**GREEDY, "chat_template_kwargs": '{"enable_thinking": false}'}},
        {"generate_config": {**GREEDY, "enable_thinking": False, "chat_template_kwargs": {"enable_thinking": True}}},
    ],
)
def test_thinking_off(model: RESTfulChatModelHandle, how: dict[str, Any]) -> None:
    answer = message(model.chat(MESSAGES, **how))
    assert not answer.get("reasoning_content")
    assert "blue whale" in answer["content"].lower()


def test_thinking_on(model: RESTfulChatModelHandle) -> None:
    answer = message(model.chat(MESSAGES, enable_thinking=True, generate_config=GREEDY))
    assert "largest" in answer["reasoning_content"].lower() or "whale" in answer["reasoning_content"].lower()
    assert "blue whale" in answer["content"].lower()


def test_streams(model: RESTfulChatModelHandle) -> None:
    chunks = list(model.chat(MESSAGES, generate_config={**GREEDY, "stream": True}))
    assert "blue whale" in "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks).lower()
    chunks = list(model.generate("What is the largest animal?", generate_config={**GREEDY, "stream": True}))
    assert "blue whale" in "".join(chunk["choices"][0]["text"] for chunk in chunks).lower()


def test_generate(model: RESTfulChatModelHandle) -> None:
    answer: Any = model.generate(prompt="What is the largest animal?", generate_config=GREEDY)
    assert "blue whale" in answer["choices"][0]["text"].lower()


async def test_async_client(cluster: RunningCluster, tiny_chat: str) -> None:
    async with AsyncRESTfulClient(cluster.endpoint) as client:
        assert tiny_chat in await client.list_models()
        model = await client.get_model(tiny_chat)
        assert isinstance(model, AsyncRESTfulChatModelHandle)
        answer = await model.chat(MESSAGES, enable_thinking=False, generate_config=GREEDY)
        assert "blue whale" in message(answer)["content"].lower()
        stream: Any = await model.chat(MESSAGES, generate_config={**GREEDY, "stream": True})
        parts = [chunk["choices"][0]["delta"]["content"] async for chunk in stream]
        assert "blue whale" in "".join(parts).lower()


def test_second_model(client: RESTfulClient, cluster: RunningCluster, tiny_chat: str) -> None:
    """Another UID beside the first on an engine of its own, thinking off by launch; both answer, then it is gone."""
    uid = client.launch_model("tiny-chat", model_uid="second", n_gpu=None, enable_thinking=False)
    assert uid == "second"
    assert {tiny_chat, "second"} <= set(client.list_models())
    assert client.describe_model("second")["enable_thinking"] is False
    for name, thinks in ((tiny_chat, True), ("second", False)):
        model: Any = client.get_model(name)
        answer = message(model.chat(MESSAGES, generate_config=GREEDY))
        assert "blue whale" in answer["content"].lower()
        assert bool(answer.get("reasoning_content")) is thinks
    client.terminate_model("second")
    with pytest.raises(ModelNotFound):
        client.describe_model("second")
    with pytest.raises(ModelNotFound):
        client.terminate_model("second")
    assert "second" not in client.list_models()


def test_command_line(cluster: RunningCluster, tiny_chat: str) -> None:
    (listed,) = [row for row in json.loads(cluster.run("list", "--json").stdout) if row["id"] == tiny_chat]
    assert listed["context_length"] == 4096
    described = json.loads(cluster.run("describe", tiny_chat, "--json").stdout)
    assert described["model_ability"] == ["chat", "generate", "tools", "reasoning", "hybrid"]
    answer = cluster.run("chat", tiny_chat, "What is the largest animal?", "--temperature", "0").stdout
    assert "blue whale" in answer.lower()
    text = cluster.run("generate", tiny_chat, "What is the largest animal?", "--temperature", "0").stdout
    assert "blue whale" in text.lower()
    status = json.loads(cluster.run("status", "--json").stdout)
    assert status["endpoint"] == cluster.endpoint
    assert tiny_chat in [model["model_uid"] for model in status["models"]]
    refused = cluster.run("describe", "nobody", check=False)
    assert refused.returncode == 1
    assert "nobody" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
