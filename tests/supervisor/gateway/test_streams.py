"""Answers through a supervisor: copied as they come, in order, with their token counts, over kept connections."""

from __future__ import annotations

import asyncio

import httpx
import openai
import pytest

from tests.supervisor.completions import CHAT, COMPLETIONS, chat, events, text, words
from tests.supervisor.engines import Scripted
from tests.supervisor.samples import report
from tests.supervisor.servers import RegistryDouble, fake_engine, serving, state_of, until


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


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_no_usage_for_who_wants_none(http: httpx.AsyncClient, registry: RegistryDouble, path: str) -> None:
    async with fake_engine(tokens=1) as replica:
        await registry.tell_replicas(replica)
        body = (chat if path == CHAT else text)(stream=True, stream_options={"include_usage": False})
        assert "usage" not in (await http.post(path, json=body)).text


async def test_openai_s_client(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    async with (
        fake_engine(tokens=3) as replica,
        openai.AsyncOpenAI(api_key="cannot be empty", base_url=str(http.base_url.join("/v1")), max_retries=0) as client,
    ):
        await registry.tell_replicas(replica)
        assert [model.id for model in (await client.models.list()).data] == ["m"]
        one = await client.models.retrieve("m")
        assert (one.id, one.object, one.owned_by) == ("m", "model", "xinfer")
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


async def test_whole_answer_comes_with_its_length(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    """However the engine sends it."""
    async with serving(Scripted(b'{"a"', b": 1}", kind=b"application/json")) as url:
        await registry.tell_replicas(report(address=url))
        got = await http.post(CHAT, json=chat())
    assert (got.content, got.headers["content-length"]) == (b'{"a": 1}', "8")
    assert "transfer-encoding" not in got.headers


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


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, b"text/event-stream"), (200, b"application/json"), (400, b"application/json")],
    ids=["stream", "whole", "error"],
)
async def test_one_connection_to_the_engine_takes_one_request_after_the_other(
    http: httpx.AsyncClient, registry: RegistryDouble, status: int, kind: bytes
) -> None:
    engine = Scripted(b"{}", b"\n\n", status=status, kind=kind)
    async with serving(engine) as url:
        await registry.tell_replicas(report(address=url))
        for _ in range(20):
            assert (await http.post(CHAT, json=chat())).status_code == status
    assert len(engine.asked) == 20
    assert len(engine.connections) == 1
