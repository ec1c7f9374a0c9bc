"""Requests that get no answer but a reason: bad ones, those for models that take none, and those an engine refuses."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.supervisor.completions import CHAT, Gateway, chat
from tests.supervisor.engines import Scripted
from tests.supervisor.samples import ALWAYS, model_status, report
from tests.supervisor.servers import RegistryDouble, fake_engine, serving, state_of
from xinfer.messages import ModelState, ReplicaReport, ReplicaStage

VLLM_VALIDATION = (
    "1 validation error:\n  {'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required', "
    "'input': '<dict of 1 items>'}"
)


@pytest.mark.parametrize(
    ("sent", "message", "status", "code", "param"),
    [
        (400, VLLM_VALIDATION, 400, "invalid_body", "messages"),
        (400, "max_tokens=9 cannot be greater than max_model_len=4.", 400, "context_length_exceeded", "max_tokens"),
        (404, "The model `m` does not exist.", 404, "not_found", "max_tokens"),
        (500, "Traceback /secret", 500, "internal_error", None),
        (503, "/secret", 503, "unavailable", None),
    ],
)
async def test_errors_of_the_engine(
    http: httpx.AsyncClient,
    registry: RegistryDouble,
    sent: int,
    message: str,
    status: int,
    code: str,
    param: str | None,
) -> None:
    error = {"error": {"message": message, "type": "BadRequestError", "param": "max_tokens", "code": sent}}
    async with serving(Scripted(json.dumps(error).encode(), status=sent, kind=b"application/json")) as url:
        await registry.tell_replicas(report(address=url))
        answer = await http.post(CHAT, json=chat(stream=True), headers={"x-request-id": "req-7"})
    body = answer.json()
    assert (answer.status_code, body["error"]["code"], body["error"]["param"]) == (status, code, param)
    assert body["detail"] == body["error"]["message"]
    assert "secret" not in answer.text
    assert ("req-7" in body["detail"]) == (status == 500)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "invalid_body"),
        (b"not json", 400, "invalid_body"),
        (b"[]", 400, "invalid_body"),
        (b'{"a":' * 10_000, 400, "invalid_body"),
        (b"{}", 400, "invalid_body"),
        (b'{"model": "ghost"}', 404, "model_not_found"),
        (b'{"model": "../../etc"}', 404, "model_not_found"),
        (json.dumps({"model": "g\n\0" + "h" * 10_000}).encode(), 404, "model_not_found"),
        (json.dumps(chat(enable_thinking=False)).encode(), 400, "thinking_not_supported"),
        (json.dumps({**chat(), "messages": None}).encode(), 400, "invalid_body"),
        (json.dumps(chat("x" * 2000)).encode(), 413, "body_too_large"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_bad_requests_reach_no_engine(
    gateway: Gateway, registry: RegistryDouble, content: bytes, status: int, code: str
) -> None:
    limit = 2000 if status == 413 else 1_000_000

    async def pieces() -> Any:
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    http = await gateway(max_body_bytes=limit)
    async with fake_engine() as replica:
        await registry.tell_replicas(replica, thinking=ALWAYS)
        for sent in (content, pieces()):
            answer = await http.post(CHAT, content=sent)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
            assert isinstance(answer.json()["detail"], str)
            assert len(answer.text) < 1000
            assert answer.headers["x-should-retry"] == "false"
        facts = await state_of(replica)
        assert (facts["running"], facts["served"], facts["aborted"]) == (0, 0, 0)


@pytest.mark.parametrize(
    "fields",
    [{"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 900}, 1, None]}]}, {"tools": 1}],
    ids=["content list", "tools"],
)
async def test_odd_prompts_are_the_engine_s_to_judge(
    http: httpx.AsyncClient, registry: RegistryDouble, fields: dict[str, Any]
) -> None:
    """Two replicas have the supervisor look at the prompt's beginning."""
    async with fake_engine() as one, fake_engine() as two:
        await registry.tell_replicas(one, two)
        assert (await http.post(CHAT, json={**chat(), **fields})).status_code == 200
        served = [await state_of(replica) for replica in (one, two)]
        assert {**chat(), **fields} in [facts["last_body"] for facts in served]


@pytest.mark.parametrize(
    ("state", "replicas", "status", "code"),
    [
        (ModelState.PENDING, [], 503, "model_loading"),
        (ModelState.LAUNCHING, [report("r1", ReplicaStage.LOADING)], 503, "model_loading"),
        (ModelState.TERMINATING, [report()], 404, "model_not_found"),
        (ModelState.FAILED, [], 404, "model_not_found"),
        (ModelState.CANCELLED, [], 404, "model_not_found"),
    ],
)
async def test_model_that_takes_no_requests(
    http: httpx.AsyncClient,
    registry: RegistryDouble,
    state: ModelState,
    replicas: list[ReplicaReport],
    status: int,
    code: str,
) -> None:
    await registry.tell(model_status(*replicas, state=state, reason="out of memory"))
    answer = await http.post(CHAT, json=chat())
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert ("out of memory" in answer.text) == (state in (ModelState.FAILED, ModelState.CANCELLED))
