"""Requests that are wrong: the right status, at once, in a body that both kinds of client read; the engine lives on."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import requests

from tests.conftest import RunningCluster

pytestmark = pytest.mark.engine

HELLO = [{"role": "user", "content": "Hello"}]
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def check_error(answer: requests.Response, status: int, code: str | None = None) -> str:
    """Both shapes in one body; returns the message."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["detail"] == body["error"]["message"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert code in (None, body["error"]["code"])
    message: str = body["detail"]
    return message


@pytest.fixture
def post(cluster: RunningCluster) -> Any:
    def send(path: str, data: Any, **kwargs: Any) -> requests.Response:
        raw = json.dumps(data) if isinstance(data, dict) else data
        began = time.monotonic()
        answer = requests.post(cluster.endpoint + path, data=raw, timeout=20, **kwargs)
        answer.seconds = time.monotonic() - began  # type: ignore[attr-defined]
        return answer

    return send


@pytest.fixture(autouse=True)
def engine_lives(cluster: RunningCluster, tiny_chat: str) -> Any:
    yield
    body = {"model": tiny_chat, "messages": HELLO, "max_tokens": 1}
    answer = requests.post(cluster.endpoint + CHAT, json=body, timeout=20)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{bad",
        b"[]",
        b'"text"',
        b"null",
        b'{"model": "tiny-chat", "messages": NaN}',
        b'{"model": "\xff\xfe"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=["empty", "cut", "list", "string", "null", "nan", "not utf-8", "deep list", "deep object"],
)
@pytest.mark.parametrize("path", [CHAT, TEXT, "/v1/models"])
def test_not_a_json_object(post: Any, path: str, raw: bytes) -> None:
    answer = post(path, raw)
    check_error(answer, 400)
    assert answer.seconds < 0.5


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"messages": HELLO}, 400, "invalid_body"),
        ({"model": 7, "messages": HELLO}, 400, "invalid_body"),
        ({"model": "nobody", "messages": HELLO}, 404, "model_not_found"),
        ({"model": "../etc/passwd", "messages": HELLO}, 404, "model_not_found"),
        ({"model": "x" * 10_000, "messages": HELLO}, 404, "model_not_found"),
        ({"model": "tiny-chat"}, 400, "invalid_body"),
        ({"model": "tiny-chat", "messages": []}, 400, "invalid_body"),
        ({"model": "tiny-chat", "messages": "hello"}, 400, "invalid_body"),
        ({"model": "tiny-chat", "messages": [7]}, 400, "invalid_body"),
        ({"model": "tiny-chat", "messages": [{"content": "no role"}]}, 400, "invalid_body"),
        ({"model": "tiny-chat", "messages": HELLO, "enable_thinking": "false"}, 400, "invalid_body"),
        ({"model": "tiny-chat", "messages": HELLO, "chat_template_kwargs": [1]}, 400, "invalid_body"),
        ({"model": "tiny-chat", "messages": HELLO, "stream": "yes please"}, 400, None),
        ({"model": "tiny-chat", "messages": HELLO, "stream_options": 5, "stream": True}, 400, None),
    ],
)
def test_chat_bodies(post: Any, body: dict[str, Any], status: int, code: str | None) -> None:
    answer = post(CHAT, body)
    check_error(answer, status, code)
    assert answer.seconds < 0.5


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": -1},
        {"temperature": 1e308},
        {"temperature": "hot"},
        {"top_p": 2},
        {"top_p": -0.1},
        {"top_k": -5},
        {"max_tokens": -1},
        {"max_tokens": 2**63},
        {"max_tokens": "many"},
        {"n": 0},
        {"n": -1},
        {"n": 10**9},
        {"logprobs": True, "top_logprobs": 10**6},
        {"prompt_logprobs": -1},
        {"seed": 2**65},
        {"seed": "x"},
        {"presence_penalty": 50},
        {"frequency_penalty": -50},
        {"repetition_penalty": -1},
        {"min_p": 7},
        {"logit_bias": {"99999999": 1}},
        {"logit_bias": {"x": 1}},
        {"stop": ["a"] * 10_000},
        {"stop_token_ids": ["x"]},
        {"response_format": {"type": "json_schema"}},
        {"response_format": 7},
        {"tools": [{"type": "function"}]},
        {"tool_choice": "required"},
        {"stop": 5},
    ],
    ids=lambda values: json.dumps(values)[:40],
)
def test_sampling_values_out_of_range(post: Any, tiny_chat: str, values: dict[str, Any]) -> None:
    for stream in (False, True):
        answer = post(CHAT, {"model": tiny_chat, "messages": HELLO, "max_tokens": 2, "stream": stream, **values})
        check_error(answer, 400)
        assert answer.seconds < 1


@pytest.mark.parametrize(
    "values", [{"prompt": ""}, {"prompt": []}, {"prompt": None}, {}, {"prompt": 7}, {"prompt": {}}]
)
def test_prompts(post: Any, tiny_chat: str, values: dict[str, Any]) -> None:
    check_error(post(TEXT, {"model": tiny_chat, "max_tokens": 2, **values}), 400)


def test_longer_than_the_context(post: Any, tiny_chat: str) -> None:
    long = "whale " * 20_000
    message = check_error(post(TEXT, {"model": tiny_chat, "prompt": long}), 400, "context_length_exceeded")
    assert "4096" in message
    body = {"model": tiny_chat, "messages": [{"role": "user", "content": long}]}
    check_error(post(CHAT, body), 400, "context_length_exceeded")
    check_error(post(CHAT, {**body, "stream": True}), 400, "context_length_exceeded")
    too_many = {"model": tiny_chat, "messages": HELLO, "max_tokens": 5000}
    check_error(post(CHAT, too_many), 400, "context_length_exceeded")


def test_body_over_the_limit(post: Any, tiny_chat: str) -> None:
    big = b"x" * (9 * 1024 * 1024)
    check_error(post(CHAT, big), 413, "body_too_large")
    pieces = (big[start : start + 65536] for start in range(0, len(big), 65536))
    check_error(post(CHAT, pieces), 413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/nowhere", 404),
        ("GET", CHAT, 405),
        ("PUT", "/v1/models", 405),
        ("GET", "/v1/models/nobody", 404),
        ("DELETE", "/v1/models/nobody", 404),
        ("GET", "/v1/models/nobody/progress", 404),
        ("POST", "/v1/models/nobody/cancel", 404),
        ("GET", "/v1/models/%2e%2e", 404),
        ("GET", "/v1/model_registrations/LLM/nobody", 404),
        ("GET", "/v1/engines/nobody", 404),
    ],
)
def test_routes(cluster: RunningCluster, method: str, path: str, status: int) -> None:
    check_error(requests.request(method, cluster.endpoint + path, timeout=10), status)


def test_nothing_of_the_prompt_is_logged(cluster: RunningCluster, post: Any, tiny_chat: str) -> None:
    secret = "xyzzy-plugh-42"
    assert post(CHAT, {"model": tiny_chat, "messages": [{"role": "user", "content": secret}], "max_tokens": 4}).ok
    post(CHAT, {"model": tiny_chat, "messages": [{"role": "user", "content": secret}], "temperature": -1})
    logs = [path for path in cluster.home.rglob("*") if path.is_file() and "logs" in path.parts]
    assert len(logs) > 5
    assert not [path for path in logs if secret in path.read_text(errors="replace")]
