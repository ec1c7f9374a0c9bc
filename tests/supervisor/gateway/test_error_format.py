"""Errors in the words of each API: the real clients raise their own classes with our sentence in them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.supervisor.completions import Gateway
from tests.supervisor.engines import Broken, Scripted
from tests.supervisor.samples import NEVER, model_status, report
from tests.supervisor.servers import RegistryDouble, dead_replica, serving
from tests.waiting import eventually
from xinfer.errors import BodyTooLarge, EngineLost, LaunchCancelled, ModelOverloaded, XinferError, from_response
from xinfer.messages import ModelState
from xinfer.wire.error_format import ErrorFormat

HELLO: Any = [{"role": "user", "content": "hello"}]
MESSAGE = {"model": "m", "max_tokens": 9, "messages": HELLO}
RESPONSE = {"model": "m", "input": "hello"}
BEGUN = b'event: message_start\ndata: {"type":"message_start","message":{"content":[],"usage":{"input_tokens":1}}}\n\n'
CREATED = b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_1","output":[]}}\n\n'


@pytest.fixture
async def claude(http: httpx.AsyncClient) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key="x", base_url=str(http.base_url), max_retries=0) as client:
        yield client


@pytest.fixture
async def gpt(http: httpx.AsyncClient) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="x", base_url=str(http.base_url.join("/v1")), max_retries=0) as client:
        yield client


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (XinferError("?"), "api_error"),
        (BodyTooLarge("?"), "request_too_large"),
        (ModelOverloaded("?"), "rate_limit_error"),
        (LaunchCancelled("?"), "invalid_request_error"),
        (EngineLost("?"), "api_error"),
    ],
)
def test_anthropic_s_types(error: XinferError, kind: str) -> None:
    body = ErrorFormat.ANTHROPIC.body(error, "req-1")
    assert (body["type"], body["error"]["type"], body["request_id"]) == ("error", kind, "req-1")
    rebuilt = from_response(error.status, body)
    assert (type(rebuilt) is type(error) or error.status == 500, rebuilt.message) == (True, "?")


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/v1/chat/completions", ErrorFormat.OPENAI),
        ("/v1/models/m/tokenize", ErrorFormat.OPENAI),
        ("/v1/responses/resp_1", ErrorFormat.RESPONSES),
        ("/v1/messages/count_tokens", ErrorFormat.ANTHROPIC),
        ("/anthropic/v1/models/ghost", ErrorFormat.ANTHROPIC),
        ("/anthropic/nowhere", ErrorFormat.ANTHROPIC),
    ],
)
def test_form_goes_by_the_path(path: str, form: ErrorFormat) -> None:
    assert ErrorFormat.of(path) is form


@pytest.mark.parametrize("path", ["/v1/messages", "/anthropic/v1/messages", "/v1/messages/count_tokens"])
async def test_anthropic_s_body(http: httpx.AsyncClient, path: str) -> None:
    """Without ``anthropic-version``, too."""
    answer = await http.post(path, json={**MESSAGE, "model": "ghost"}, headers={"x-request-id": "req-7"})
    body = answer.json()
    assert answer.status_code == 404
    assert body["error"]["type"] == "not_found_error"
    assert body["error"]["message"] == body["detail"]
    assert body["request_id"] == answer.headers["request-id"] == "req-7"
    assert (await http.get(path)).json()["type"] == "error"


async def test_anthropic_s_client_raises_its_own_classes(
    claude: anthropic.AsyncAnthropic, registry: RegistryDouble
) -> None:
    with pytest.raises(anthropic.NotFoundError, match="There is no model 'ghost'") as missing:
        await claude.messages.create(**{**MESSAGE, "model": "ghost"})
    assert missing.value.type == "not_found_error"
    assert missing.value.error_code == "model_not_found"
    assert missing.value.request_id
    await registry.tell_replicas(report(), thinking=NEVER)
    with pytest.raises(anthropic.BadRequestError, match="never thinks"):
        await claude.messages.create(**MESSAGE, thinking={"type": "enabled", "budget_tokens": 1024})
    with pytest.raises(anthropic.NotFoundError, match="There is no model"):
        await claude.messages.count_tokens(model="ghost", messages=HELLO)
    await registry.tell(model_status(state=ModelState.LAUNCHING))
    with pytest.raises(anthropic.ServiceUnavailableError, match="still loading") as loading:
        await claude.messages.create(**MESSAGE)
    assert int(loading.value.response.headers["retry-after"]) >= 1
    await registry.tell_replicas(dead_replica())
    with pytest.raises(anthropic.ServiceUnavailableError, match="No replica"):
        await claude.messages.create(**MESSAGE)


async def test_anthropic_s_client_at_the_limit(claude: anthropic.AsyncAnthropic, registry: RegistryDouble) -> None:
    engine = Scripted(BEGUN, None)
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url), request_limits=1)
        stream = await claude.messages.create(**MESSAGE, stream=True)
        with pytest.raises(anthropic.RateLimitError, match="all the requests it can take"):
            await claude.messages.count_tokens(model="m", messages=HELLO)
        await stream.close()


async def test_anthropic_s_stream_that_breaks(claude: anthropic.AsyncAnthropic, registry: RegistryDouble) -> None:
    async with serving(Broken(BEGUN)) as url:
        await registry.tell_replicas(report(address=url))
        stream = await claude.messages.create(**MESSAGE, stream=True)
        assert stream.response.headers["request-id"]
        with pytest.raises(anthropic.APIStatusError, match="went away in the middle") as caught:
            async for _ in stream:
                pass
    assert caught.value.type == "api_error"


async def test_response_that_breaks(http: httpx.AsyncClient, gpt: openai.AsyncOpenAI, registry: RegistryDouble) -> None:
    async with serving(Broken(CREATED)) as url:
        await registry.tell_replicas(report(address=url))
        answer = await http.post("/v1/responses", json={**RESPONSE, "stream": True})
        name, data = answer.text.removeprefix(CREATED.decode()).removesuffix("\n\n").split("\n")
        assert name == "event: error"
        event = json.loads(data.removeprefix("data: "))
        assert (event["type"], event["code"], event["message"]) == ("error", "engine_lost", event["detail"])
        stream = await gpt.responses.create(**RESPONSE, stream=True)
        with pytest.raises(openai.APIError, match="went away in the middle"):
            async for _ in stream:
                pass


async def test_message_from_an_engine_that_stands_still(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(idle_timeout_s=0.1)
    engine = Scripted(BEGUN, None)
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        answer = await http.post("/v1/messages", json={**MESSAGE, "stream": True})
        engine.go.set()
    error = json.loads(answer.text.split("data: ")[-1])
    assert (error["error"]["type"], error["error"]["code"]) == ("timeout_error", "engine_timeout")


@pytest.mark.parametrize(("path", "body"), [("/v1/messages", MESSAGE), ("/v1/responses", RESPONSE)])
async def test_client_that_leaves_takes_its_request_along(
    http: httpx.AsyncClient, registry: RegistryDouble, path: str, body: dict[str, Any]
) -> None:
    engine = Scripted(BEGUN, None)
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        async with http.stream("POST", path, json={**body, "stream": True}) as answer:
            await anext(answer.aiter_raw())
        await eventually(lambda: engine.aborted)


async def test_openai_s_client_of_responses(gpt: openai.AsyncOpenAI, registry: RegistryDouble) -> None:
    await registry.tell_replicas(report())
    with pytest.raises(openai.BadRequestError, match="send the whole conversation") as stateful:
        await gpt.responses.create(**RESPONSE, previous_response_id="resp_1")
    assert stateful.value.param == "previous_response_id"
    with pytest.raises(openai.BadRequestError, match="no background mode"):
        await gpt.responses.create(**RESPONSE, background=True)
    for gone in (gpt.responses.retrieve, gpt.responses.delete, gpt.responses.cancel):
        with pytest.raises(openai.NotFoundError, match="not kept here"):
            await gone("resp_1")


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/messages", MESSAGE), ("/v1/responses", RESPONSE), ("/v1/models/m/tokenize", {"prompt": "hello"})],
)
async def test_second_replica_answers_for_one_that_is_not_there(
    http: httpx.AsyncClient, registry: RegistryDouble, path: str, body: dict[str, Any]
) -> None:
    async with serving(Scripted(b"{}", kind=b"application/json")) as url:
        await registry.tell_replicas(dead_replica(), report(address=url))
        assert [(await http.post(path, json=body)).status_code for _ in range(3)] == [200, 200, 200]
