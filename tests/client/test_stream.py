"""Streams: events however their bytes arrive, errors in the middle, and connections that are let go."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer import errors
from xinfer.client import AsyncRESTfulClient, RESTfulClient
from xinfer.client._sse import EventReader

PATH = "/v1/completions"
STREAM = {"stream": True}


def read_all(*pieces: bytes) -> list[dict[str, Any]]:
    reader = EventReader()
    return [*itertools.chain.from_iterable(reader.feed(piece) for piece in pieces), *reader.end()]


TEXT = ': ping\r\nevent: x\r\ndata: {"a": "é"}\r\n\r\ndata:{"a": 2, "error": null}\n\ndata: [DONE]\n\n'.encode()


@pytest.mark.parametrize("size", range(1, 12))
def test_events_do_not_depend_on_how_bytes_arrive(size: int) -> None:
    pieces = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    assert read_all(*pieces) == [{"a": "é"}, {"a": 2, "error": None}]


def test_a_last_line_needs_no_line_break() -> None:
    assert read_all(b'data: {"a": 1}') == [{"a": 1}]


def test_a_line_is_given_as_soon_as_it_is_whole() -> None:
    assert list(EventReader().feed(b'data: {"a": 1}\ndata: {"a"')) == [{"a": 1}]


@pytest.mark.parametrize("line", [b"data: {", b"data: 3"])
def test_an_event_that_is_no_object_is_an_error(line: bytes) -> None:
    with pytest.raises(errors.EngineLost):
        read_all(line + b"\n")


def events(client: Any, config: dict[str, Any] = STREAM) -> Any:
    return client.get_model("m").generate("x", config)


def test_chunks_come_in_order(client: Any, server: ScriptedServer) -> None:
    server.stream(PATH, b'data: {"n"', b': 1}\n\ndata: {"n": 2}\n', b"\n", b"data: [DONE]\n\n")
    assert list(events(client)) == [{"n": 1}, {"n": 2}]
    assert server.asked[-1].body == {"model": "m", "prompt": "x", "stream": True}


def test_chat_streams_too(client: Any, server: ScriptedServer) -> None:
    server.stream("/v1/chat/completions", b'data: {"n": 1}\n\n')
    assert list(client.get_model("m").chat([], generate_config=STREAM)) == [{"n": 1}]


def test_a_chunk_does_not_wait_for_the_next(client: Any, server: ScriptedServer) -> None:
    seen = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b'data: {"n": 1}\n\n'
        assert seen.wait(5)
        yield b'data: {"n": 2}\n\n'

    server.answer("POST", PATH, Answer(pieces=pieces()))
    stream = events(client)
    assert next(stream) == {"n": 1}
    seen.set()
    assert list(stream) == [{"n": 2}]


@pytest.mark.parametrize(
    "error", [errors.EngineLost("Gone."), errors.EngineTimeout("Stuck."), errors.InternalError("?")]
)
def test_an_error_in_the_middle_is_raised(client: Any, server: ScriptedServer, error: errors.XinferError) -> None:
    server.stream(PATH, b'data: {"n": 1}\n\n', b"data: " + json.dumps(error.body()).encode() + b"\n\n")
    stream = events(client)
    assert next(stream) == {"n": 1}
    with pytest.raises(errors.XinferError) as caught:
        next(stream)
    assert (caught.value.status, caught.value.code, str(caught.value)) == (error.status, error.code, error.message)
    assert list(stream) == []


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b'{"error": "boom"}', errors.XinferError),
        (b'{"error": {"message": "boom", "type": "BadRequestError", "code": 400}}', errors.BadRequest),
    ],
)
def test_the_errors_of_others_are_understood(
    client: Any, server: ScriptedServer, event: bytes, kind: type[Exception]
) -> None:
    server.stream(PATH, b"data: " + event + b"\n\n")
    with pytest.raises(kind, match=r"^boom$"):
        list(events(client))


def test_an_error_before_the_first_chunk_is_raised_at_the_call(client: Any, server: ScriptedServer) -> None:
    error = errors.ContextLengthExceeded("Too long.")
    server.answer("POST", PATH, Answer(error.body(), error.status, error.headers()))
    with pytest.raises(errors.ContextLengthExceeded, match="Too long"):
        events(client)


def test_a_connection_that_breaks_is_an_error(client: Any, server: ScriptedServer) -> None:
    seen = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b'data: {"n": 1}\n\n'
        assert seen.wait(5)

    server.answer("POST", PATH, Answer(pieces=pieces(), cut=True))
    stream = events(client)
    assert next(stream) == {"n": 1}
    seen.set()
    with pytest.raises(errors.EngineLost, match="broke"):
        next(stream)


def test_a_stream_that_stands_still_is_an_error(make_client: Any, server: ScriptedServer) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'data: {"n": 1}\n\n'
        time.sleep(1)

    server.answer("POST", PATH, Answer(pieces=pieces()))
    stream = events(make_client(timeout=0.2))
    assert next(stream) == {"n": 1}
    with pytest.raises(errors.EngineTimeout):
        next(stream)


def endless() -> Iterator[bytes]:
    for n in itertools.count():
        yield b'data: {"n": %d}\n\n' % n
        time.sleep(0.005)


def test_closing_hangs_up(client: Any, server: ScriptedServer) -> None:
    server.answer("POST", PATH, Answer(pieces=endless()))
    stream = events(client)
    assert next(stream) == {"n": 0}
    stream.close()
    stream.close()
    assert list(stream) == []
    assert server.hung_up.wait(5)


def test_leaving_the_block_hangs_up(server: ScriptedServer) -> None:
    server.answer("POST", PATH, Answer(pieces=endless()))
    with RESTfulClient(server.url) as client, events(client) as stream:
        assert next(stream) == {"n": 0}
    assert server.hung_up.wait(5)


def test_a_forgotten_stream_hangs_up_at_once(server: ScriptedServer) -> None:
    server.answer("POST", PATH, Answer(pieces=endless()))
    gc.disable()
    try:
        with RESTfulClient(server.url) as client:
            for chunk in events(client):
                assert chunk == {"n": 0}
                break
            assert server.hung_up.wait(5)
    finally:
        gc.enable()


async def test_a_forgotten_awaited_stream_hangs_up_at_once(server: ScriptedServer) -> None:
    server.answer("POST", PATH, Answer(pieces=endless()))
    async with AsyncRESTfulClient(server.url) as client:
        stream: Any = await (await client.get_model("m")).generate("x", STREAM)
        assert await anext(stream) == {"n": 0}
        del stream
        assert await asyncio.to_thread(server.hung_up.wait, 5)


async def test_a_cancelled_reader_hangs_up(server: ScriptedServer) -> None:
    server.answer("POST", PATH, Answer(pieces=endless()))
    async with AsyncRESTfulClient(server.url) as client:
        stream: Any = await (await client.get_model("m")).generate("x", STREAM)

        async def read() -> None:
            async for _ in stream:
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.hung_up.wait, 5)


async def test_leaving_the_awaited_block_hangs_up(server: ScriptedServer) -> None:
    server.answer("POST", PATH, Answer(pieces=endless()))
    async with AsyncRESTfulClient(server.url) as client:
        stream: Any = await (await client.get_model("m")).generate("x", STREAM)
        async with stream:
            assert await anext(stream) == {"n": 0}
        assert await asyncio.to_thread(server.hung_up.wait, 5)
