"""Tokens for text and text for tokens, on real vLLM."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.conftest import RunningCluster

pytestmark = pytest.mark.engine

TEXT = "What is the largest animal?"
CHAT: Any = [{"role": "user", "content": TEXT}]


def post(cluster: RunningCluster, path: str, **body: Any) -> requests.Response:
    return requests.post(f"{cluster.endpoint}{path}", json=body, timeout=10)


@pytest.mark.parametrize("prefix", ["", "/v1", "/v1/models/{uid}"])
def test_there_and_back(cluster: RunningCluster, tiny_chat: str, prefix: str) -> None:
    from transformers import AutoTokenizer

    from xinfer.tiny_chat import model_path

    named = {} if "{uid}" in prefix else {"model": tiny_chat}
    base = prefix.format(uid=tiny_chat)
    there = post(cluster, f"{base}/tokenize", prompt=TEXT, return_token_strs=True, **named).json()
    assert there["tokens"] == AutoTokenizer.from_pretrained(model_path())(TEXT)["input_ids"]
    assert (there["count"], there["max_model_len"]) == (len(there["tokens"]), 4096)
    assert len(there["token_strs"]) == there["count"]
    assert post(cluster, f"{base}/detokenize", tokens=there["tokens"], **named).json() == {"prompt": TEXT}


@pytest.mark.parametrize("fields", [{}, {"enable_thinking": False}], ids=repr)
def test_conversation_has_as_many_as_its_chat_says(
    cluster: RunningCluster, tiny_chat: str, fields: dict[str, Any]
) -> None:
    counted = post(cluster, f"/v1/models/{tiny_chat}/tokenize", messages=CHAT, **fields).json()["count"]
    chat = post(cluster, "/v1/chat/completions", model=tiny_chat, messages=CHAT, max_tokens=1, **fields).json()
    assert counted == chat["usage"]["prompt_tokens"]


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/v1/models/ghost/tokenize", {"prompt": TEXT}, 404, "There is no model 'ghost'"),
        ("/tokenize", {"prompt": TEXT}, 400, "which model"),
        ("/v1/models/{uid}/tokenize", {"model": "ghost", "prompt": TEXT}, 400, "another model"),
        ("/v1/models/{uid}/tokenize", {"messages": [{"role": "user", "content": 5}]}, 400, "messages.0.content: "),
        ("/v1/models/{uid}/detokenize", {"tokens": [-1]}, 400, "tokens.0: "),
    ],
)
def test_what_is_refused(
    cluster: RunningCluster, tiny_chat: str, path: str, body: dict[str, Any], status: int, sentence: str
) -> None:
    answer = post(cluster, path.format(uid=tiny_chat), **body)
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]


def test_path_takes_no_other_method(cluster: RunningCluster, tiny_chat: str) -> None:
    assert requests.get(f"{cluster.endpoint}/v1/models/{tiny_chat}/tokenize", timeout=10).status_code == 405
