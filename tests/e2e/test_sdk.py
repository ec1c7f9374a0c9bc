"""The Python SDK and the command line on real vLLM, as the README shows them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import RunningCluster
from tests.e2e.traces import actor
from tests.waiting import wait_for
from xinfer.client import AsyncRESTfulClient, RESTfulChatModelHandle, RESTfulClient
from xinfer.client.async_handles import AsyncRESTfulChatModelHandle
from xinfer.errors import LaunchRefused, ModelNotFound, NotFound
from xinfer.tiny_chat import model_path

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


WHALE: dict[str, Any] = {
    "model_name": "whale",
    "model_lang": ["en"],
    "model_ability": ["chat", "tools", "reasoning", "hybrid"],
    "model_family": "tiny-chat",
    "chat_template": "A whale sings. " + (model_path() / "chat_template.jinja").read_text(),
    "model_specs": [
        {"model_format": "pytorch", "model_size_in_billions": "0_004", "model_uri": f"file://{model_path()}"}
    ],
}
"""As Xinference's users describe a model of their own."""


@pytest.fixture
def whale(client: RESTfulClient) -> Iterator[str]:
    """A family that is registered for the length of a test, twice: once for good, once for as long as the cluster lives."""
    client.register_model("LLM", json.dumps(WHALE), persist=True)
    client.register_model("LLM", {**WHALE, "model_name": "krill"}, persist=False)
    yield "whale"
    for name in ("whale", "krill"):
        with contextlib.suppress(NotFound):
            client.unregister_model("LLM", name)


def test_registered_family(client: RESTfulClient, cluster: RunningCluster, tiny_chat: str, whale: str) -> None:
    """It outlives the registry, is launched by its name on vLLM with its own chat template, and goes when it is told to."""
    (registry,) = actor(cluster, "Registry")
    registry.kill()
    registry.wait(10)
    wait_for(lambda: [each for each in actor(cluster, "Registry") if each != registry], 20, "another registry")
    uid = client.launch_model("Whale", n_gpu=None)
    try:
        assert registered(client) == {"whale", "krill"}
        assert prompt_tokens(client, uid) > prompt_tokens(client, tiny_chat)
        assert client.describe_model(uid)["model_ability"] == ["chat", "tools", "reasoning", "hybrid"]
        assert "whale" in cluster.run("models").stdout
        client.unregister_model("LLM", whale)  # the model goes on
        assert prompt_tokens(client, uid) > prompt_tokens(client, tiny_chat)
    finally:
        client.terminate_model(uid)
    assert registered(client) == {"krill"}
    with pytest.raises(LaunchRefused, match="whale"):
        client.launch_model("whale")


def prompt_tokens(client: RESTfulClient, uid: str) -> int:
    """How long a prompt the model's template makes of one question."""
    model: Any = client.get_model(uid)
    tokens: int = model.chat(MESSAGES, generate_config={"max_tokens": 1})["usage"]["prompt_tokens"]
    return tokens


def registered(client: RESTfulClient) -> set[str]:
    return {each["model_name"] for each in client.list_model_registrations() if not each["is_builtin"]}


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
