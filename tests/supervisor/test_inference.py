"""Completions through a supervisor: real HTTP on both sides, engines with every fault."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import openai
import pytest

from supervisor.asgi import Message, Receive, Scope, Send
from tests.supervisor.samples import ALWAYS, report, route
from tests.supervisor.servers import (
    RegistryDouble,
    dead_replica,
    fake_engine,
    fake_engine_process,
    serving,
    state_of,
    until,
)
from xinfer.messages import ModelState, ReplicaReport, ReplicaStage

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
Gateway = Callable[..., Awaitable[httpx.AsyncClient]]


def chat(content: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


def text(prompt: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": "m", "prompt": prompt, **fields}


def events(body: str) -> list[Any]:
    """The payloads of a stream; ``[DONE]`` stays text."""
    payloads = [line.removeprefix("data: ") for line in body.split("\n\n") if line]
    return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]


def words(stream: list[Any]) -> str:
    choices = [choice for event in stream if event != "[DONE]" for choice in event.get("choices", ())]
    return "".join(choice["delta"]["content"] if "delta" in choice else choice["text"] for choice in choices)


class Scripted:
    """An engine that plays pieces of one answer; ``None`` waits until ``go`` is set, an exception is raised."""

    def __init__(
        self, *pieces: bytes | None, status: int = 200, kind: bytes = b"text/event-stream", size: int = 0
    ) -> None:
        self.pieces, self.status = pieces, status
        self.headers = [(b"content-type", kind)] + ([(b"content-length", b"%d" % size)] if size else [])
        self.go = asyncio.Event()
        self.asked: list[tuple[dict[bytes, bytes], bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        self.asked.append((dict(scope["headers"]), body + message["body"]))
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        for piece in self.pieces:
            if piece is None:
                await self.go.wait()
            else:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def test_chat_streamed_and_whole(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine(tokens=3) as replica:
        await registry.tell_replicas(replica)
        whole = await http.post(CHAT, json=chat())
        assert whole.status_code == 200
        assert whole.headers["content-type"] == "application/json"
        assert whole.json()["choices"][0]["message"]["content"] == "0 1 2 "
        assert whole.json()["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}

        streamed = await http.post(CHAT, json=chat(stream=True))
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert streamed.headers["cache-control"] == "no-cache"
        *chunks, done = events(streamed.text)
        assert (words(chunks), done) == ("0 1 2 ", "[DONE]")
        assert all(len(chunk["choices"]) == 1 for chunk in chunks)
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"
        assert [chunk["usage"]["total_tokens"] for chunk in chunks if "usage" in chunk] == [4]


async def test_completion_streamed_and_whole(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine(tokens=3) as replica:
        await registry.tell_replicas(replica)
        assert (await http.post(COMPLETIONS, json=text())).json()["choices"][0]["text"] == "0 1 2 "
        stream = events((await http.post(COMPLETIONS, json=text(stream=True))).text)
        assert words(stream) == "0 1 2 "
        assert "[DONE]" not in stream
        assert stream[-1]["usage"]["completion_tokens"] == 3


async def test_usage_chunk_of_its_own_for_who_asks(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine(tokens=1) as replica:
        await registry.tell_replicas(replica)
        answer = await http.post(CHAT, json=chat(stream=True, stream_options={"include_usage": True}))
        *chunks, usage, _ = events(answer.text)
        assert usage["choices"] == []
        assert usage["usage"]["total_tokens"] == 2
        assert not any("usage" in chunk for chunk in chunks)


async def test_openai_s_client(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with (
        fake_engine(tokens=3) as replica,
        openai.AsyncOpenAI(api_key="cannot be empty", base_url=str(http.base_url.join("/v1")), max_retries=0) as client,
    ):
        await registry.tell_replicas(replica)
        assert [model.id for model in (await client.models.list()).data] == ["m"]
        stream = await client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            extra_body={"enable_thinking": False},
        )
        assert [chunk.choices[0].delta.content async for chunk in stream] == ["0 ", "1 ", "2 ", ""]
        assert (await state_of(replica))["last_body"]["chat_template_kwargs"] == {"enable_thinking": False}
        with pytest.raises(openai.NotFoundError) as caught:
            await client.completions.create(model="ghost", prompt="hello")
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_bytes_pass_both_ways_as_they_are(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    answer = [b"da", b"ta: {}\r\n\r\n: ping\n", b"\n\xff\x00", b"x" * 100_000, b"data: [DONE]\n\n"]
    engine = Scripted(*answer, kind=b"text/event-stream; charset=utf-8")
    raw = b'{ "model":"m",\n"messages":[{"role":"user","content":"\\u9be8"}], "top_k":-1, "x":1e-7}'
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        got = await http.post(CHAT, content=raw, headers={"authorization": "Bearer secret", "cookie": "secret"})
    assert got.content == b"".join(answer)
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    headers, body = engine.asked[0]
    assert body == raw
    assert "secret" not in str(headers)


async def test_first_bytes_are_not_held_back(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    engine = Scripted(b"data: 1\n\n", None, b"data: 2\n\n")
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        async with http.stream("POST", CHAT, json=chat(stream=True)) as answer:
            pieces = answer.aiter_raw()
            async with asyncio.timeout(2):
                assert await anext(pieces) == b"data: 1\n\n"
            engine.go.set()
            assert b"".join([piece async for piece in pieces]) == b"data: 2\n\n"


async def test_streams_interleave(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine(tokens=5, gap_s=0.01, first_token_s=1) as replica:
        await registry.tell_replicas(replica)
        answers = [asyncio.create_task(http.post(CHAT, json=chat(stream=True))) for _ in range(10)]
        await until(replica, running=10)
        assert {words(events((await answer).text)) for answer in answers} == {"0 1 2 3 4 "}
        assert (await state_of(replica))["running"] == 0


async def test_client_that_closes_a_stream_aborts_it(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with fake_engine(tokens=10_000, gap_s=0.01) as replica:
        await registry.tell_replicas(replica)
        async with http.stream("POST", CHAT, json=chat(stream=True)) as answer:
            pieces = answer.aiter_raw()
            for _ in range(3):
                await anext(pieces)
            assert (await state_of(replica))["running"] == 1
        await until(replica, running=0, aborted=1, served=0)


@pytest.mark.parametrize(("path", "body"), [(CHAT, chat()), (COMPLETIONS, text()), (CHAT, chat(stream=True))])
async def test_client_that_leaves_while_it_waits_aborts_the_request(
    http: httpx.AsyncClient, registry: RegistryDouble, path: str, body: dict[str, Any]
) -> None:
    async with fake_engine(tokens=10, gap_s=5, first_token_s=5) as replica:
        await registry.tell_replicas(replica)
        with pytest.raises(httpx.ReadTimeout):
            await http.post(path, json=body, timeout=0.6)
        await until(replica, running=0, aborted=1, served=0)


async def test_second_replica_answers_for_one_that_is_not_there(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    dead = dead_replica()
    async with fake_engine(tokens=2) as replica:
        await registry.tell_replicas(dead, replica)
        answers = [await http.post(CHAT, json=chat()) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert (await state_of(replica))["served"] == 3
    assert registry.asked == [("suspect", "m", dead.replica, dead.address)]


async def test_no_replica_is_there(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    replicas = [dead_replica() for _ in range(3)]
    await registry.tell_replicas(*replicas)
    first = await http.post(CHAT, json=chat())
    assert first.status_code == 503
    assert int(first.headers["retry-after"]) >= 1
    assert first.json()["error"]["code"] == "unavailable"
    assert len(registry.asked) == 2, "one retry, never two"
    assert (await http.post(CHAT, json=chat())).status_code == 503
    suspects = list(registry.asked)
    assert {name for _, _, name, _ in suspects} == {replica.replica for replica in replicas}
    assert (await http.post(CHAT, json=chat())).status_code == 503
    assert registry.asked == suspects, "suspects are left alone"


@pytest.mark.parametrize("streams", [False, True])
async def test_engine_that_dies_before_its_first_token_costs_a_second_attempt(
    http: httpx.AsyncClient, registry: RegistryDouble, streams: bool
) -> None:
    async with fake_engine_process(fault="exit") as bad, fake_engine(tokens=2) as good:
        await registry.tell_replicas(bad, good)
        answer = await http.post(CHAT, json=chat(stream=streams))
        assert answer.status_code == 200, answer.text
        assert "1 " in answer.text
        assert (await state_of(good))["served"] == 1


async def test_engine_that_dies_in_a_stream_leaves_one_error_event(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    async with fake_engine_process(fault="exit", fault_after=3, gap_s=0.01) as replica:
        await registry.tell_replicas(replica)
        answer = await http.post(CHAT, json=chat(stream=True))
    assert answer.status_code == 200
    *chunks, error = events(answer.text)
    assert words(chunks) == "0 1 2 "
    assert all("error" not in chunk for chunk in chunks)
    assert (error["error"]["code"], type(error["detail"])) == ("engine_lost", str)
    assert "[DONE]" not in answer.text


async def test_openai_s_client_raises_when_the_engine_dies(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with (
        fake_engine_process(fault="exit", fault_after=1, gap_s=0.01) as replica,
        openai.AsyncOpenAI(api_key="x", base_url=str(http.base_url.join("/v1")), max_retries=0) as client,
    ):
        await registry.tell_replicas(replica)
        stream = await client.completions.create(model="m", prompt="hello", stream=True)
        with pytest.raises(openai.APIError, match="went away"):
            async for _ in stream:
                pass


async def test_engine_that_fails_in_a_stream_leaves_one_error_event(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    async with fake_engine(fault="error", fault_after=2) as replica:
        await registry.tell_replicas(replica)
        answer = await http.post(CHAT, json=chat(stream=True))
    *chunks, error = events(answer.text)
    assert words(chunks) == "0 1 "
    assert error["error"]["code"] == "engine_failed"


async def test_engine_that_stands_still_in_a_stream(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(idle_timeout_s=0.3)
    async with fake_engine(fault="hang", fault_after=2) as replica:
        await registry.tell_replicas(replica)
        answer = await http.post(CHAT, json=chat(stream=True), timeout=3)
        *chunks, error = events(answer.text)
        assert words(chunks) == "0 1 "
        assert error["error"]["code"] == "engine_timeout"
        await until(replica, running=0, aborted=1)


@pytest.mark.parametrize("streams", [False, True])
async def test_engine_that_never_begins(gateway: Gateway, registry: RegistryDouble, streams: bool) -> None:
    http = await gateway(first_byte_timeout_s=0.3)
    async with fake_engine(fault="hang") as replica:
        await registry.tell_replicas(replica)
        answer = await http.post(CHAT, json=chat(stream=streams), timeout=3)
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "engine_timeout")
        assert "retry-after" in answer.headers
        await until(replica, running=0, aborted=1)


async def test_pauses_below_the_limit_are_fine(gateway: Gateway, registry: RegistryDouble) -> None:
    """The limit is for each pause, not for the answer."""
    http = await gateway(idle_timeout_s=0.5, first_byte_timeout_s=0.5)
    async with fake_engine(tokens=8, gap_s=0.1) as replica:
        await registry.tell_replicas(replica)
        answer = await http.post(CHAT, json=chat(stream=True))
        assert events(answer.text)[-1] == "[DONE]"


@pytest.mark.parametrize(("status", "kind"), [(200, b"application/json"), (400, b"application/json")])
async def test_whole_answer_that_breaks_off_is_an_error_and_no_broken_json(
    http: httpx.AsyncClient, registry: RegistryDouble, status: int, kind: bytes
) -> None:
    async def engine(scope: Scope, receive: Receive, send: Send) -> None:
        await Scripted(b'{"id": "x", ', None, status=status, kind=kind, size=1000)(scope, receive, send)

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        async def cut(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body":
                raise ConnectionAbortedError

        await engine(scope, receive, cut)

    async with serving(broken) as url:
        await registry.tell_replicas(report(address=url))
        answer = await http.post(CHAT, json=chat())
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "engine_lost")


async def test_whole_answer_that_stands_still(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(idle_timeout_s=0.2)
    engine = Scripted(b'{"id": "x", ', None, kind=b"application/json")
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        answer = await http.post(CHAT, json=chat())
        engine.go.set()
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "engine_timeout")


async def test_slow_reader_slows_the_engine_down(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    """What is in flight is bounded by buffers, not by what the engine could send."""
    sent = 0

    async def engine(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        while sent < 200_000_000:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            sent += 65536
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    body = json.dumps(chat(stream=True)).encode()
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port, limit=1024)
        writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body)
        await reader.readline()
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.3)
        assert 0 < sent < 40_000_000
        writer.transport.abort()


async def test_overload_is_refused_at_once(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(max_connections_per_replica=2)
    async with fake_engine(first_token_s=1, tokens=1) as one, fake_engine(first_token_s=1, tokens=1) as two:
        await registry.tell_replicas(one, two)
        running = [asyncio.create_task(http.post(CHAT, json=chat())) for _ in range(4)]
        await until(one, running=2)
        await until(two, running=2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        refused = await http.post(CHAT, json=chat())
        assert loop.time() - began < 0.5
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "model_overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert [(await each).status_code for each in running] == [200] * 4
        assert (await http.post(CHAT, json=chat())).status_code == 200


async def test_no_place_is_lost_however_a_request_ends(gateway: Gateway, registry: RegistryDouble) -> None:
    """With one place, each of these would leave none for the next."""
    http = await gateway(max_connections_per_replica=1, idle_timeout_s=0.5, first_byte_timeout_s=0.5)
    async with fake_engine(tokens=3, gap_s=0.01) as replica:
        await registry.tell_replicas(replica)
        for content in ("hello", "!error", "!hang"):
            with pytest.raises(httpx.ReadTimeout):
                await http.post(CHAT, json=chat("!hang"), timeout=0.1)
            await until(replica, running=0)
            assert (await http.post(CHAT, json=chat(content, stream=True))).status_code != 429
            await until(replica, running=0)
        assert (await http.post(CHAT, json={**chat(), "messages": []})).status_code == 400
        assert (await http.post(CHAT, json=chat())).status_code == 200


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
    ("state", "replicas", "status", "code"),
    [
        (ModelState.PENDING, [], 503, "model_loading"),
        (ModelState.LAUNCHING, [report("r1", ReplicaStage.LOADING)], 503, "model_loading"),
        (ModelState.TERMINATING, [report()], 404, "model_not_found"),
        (ModelState.FAILED, [], 404, "model_not_found"),
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
    await registry.tell(route(*replicas, state=state, reason="out of memory"))
    answer = await http.post(CHAT, json=chat())
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)
    assert ("out of memory" in answer.text) == (state is ModelState.FAILED)


async def test_client_that_leaves_during_its_upload_is_nobody_s_error(
    http: httpx.AsyncClient, registry: RegistryDouble, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    writer.write(b'POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"model":' % CHAT.encode())
    await writer.drain()
    writer.transport.abort()
    await asyncio.sleep(0.1)
    assert caplog.records == []
    assert (await http.post(CHAT, json=chat())).status_code == 404


async def test_last_table_goes_on_being_true_while_the_registry_is_away(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    async with fake_engine(tokens=1) as replica:
        await registry.tell_replicas(replica)
        registry.away = True
        await registry.tell()
        assert (await http.post(CHAT, json=chat())).status_code == 200
