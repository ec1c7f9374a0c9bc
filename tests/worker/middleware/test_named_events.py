"""Streams with named events. What comes in is what vLLM 0.32 sends, or does not send."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.middleware import ContractMiddleware
from worker.middleware.after_thought import after_thought
from worker.middleware.named_events import EventStream
from xinfer.wire.error_format import ErrorFormat

RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"


def event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


OVERTURE = event("response.created") + event("response.in_progress")
RESPONSE = OVERTURE + event("response.output_text.delta", delta="鯨") + event("response.completed", status="completed")
MESSAGE = event("message_start") + event("content_block_delta") + event("message_delta") + event("message_stop")
REFUSED = event("error", error={"type": "internal_error", "message": "2 validation errors for Chunk 'code': 400}"})
FAILED = event("error", error={"type": "internal_error", "message": "1 validation error for Chunk 'code': 500}"})


class VLLMClientError(Exception):
    """Named as the root of what vLLM blames the caller for."""

    parameter = "temperature"


async def play(path: str, *parts: bytes, failure: Exception | None = None) -> tuple[list[dict[str, Any]], bool]:
    """What goes out when the engine streams ``parts`` and then ends, or fails; and whether the failure went on its way."""
    out: list[Any] = []

    async def app(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if failure is not None:
            raise RuntimeError("Caught handled exception, but response already started.") from failure
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(message: Any) -> None:
        out.append(message)

    went_on = False
    try:
        await ContractMiddleware(app)({"type": "http", "path": path, "headers": []}, None, send)  # type: ignore[arg-type]
    except RuntimeError:
        went_on = True
    return out, went_on


def body(messages: list[dict[str, Any]]) -> bytes:
    head, *parts = messages
    assert head["type"] == "http.response.start"
    assert [part["more_body"] for part in parts] == [True] * (len(parts) - 1) + [False]
    return b"".join(part["body"] for part in parts)


@pytest.mark.parametrize(("path", "stream"), [(RESPONSES, RESPONSE), (MESSAGES, MESSAGE)])
async def test_whole_stream_passes_as_it_is(path: str, stream: bytes) -> None:
    out, _ = await play(path, *(each + b"\n\n" for each in stream.split(b"\n\n")[:-1]))
    assert out[0]["status"] == 200
    assert body(out) == stream


@given(st.sampled_from([RESPONSE, MESSAGE]), st.lists(st.integers(0, 400), max_size=6))
def test_stream_may_be_cut_anywhere(stream: bytes, cuts: list[int]) -> None:
    passing = EventStream(ErrorFormat.OPENAI, after_thought(RESPONSES))
    ends = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert b"".join(passing.feed(stream[a:b]) for a, b in pairwise(ends)) + passing.finish() == stream


@given(st.sampled_from([RESPONSE, MESSAGE]), st.integers(1, 400))
def test_stream_that_ends_too_early_says_so(stream: bytes, end: int) -> None:
    passing = EventStream(ErrorFormat.ANTHROPIC, after_thought(MESSAGES))
    out = passing.feed(stream[: min(end, len(stream) - 1)]) + passing.finish()
    came, word, error = out.partition(b"event: error\n")
    assert bool(word) == (passing.refusal is None)
    assert stream.startswith(came)
    assert came.endswith(b"\n\n") or not came
    assert (b"engine_lost" in error) == bool(word)


async def test_head_waits_until_there_is_an_answer() -> None:
    passing = EventStream(ErrorFormat.RESPONSES, after_thought(RESPONSES))
    assert passing.feed(OVERTURE) == b""
    delta = event("response.output_text.delta")
    assert passing.feed(delta) == OVERTURE + delta
    assert passing.feed(OVERTURE) == OVERTURE


async def test_fault_that_vllm_finds_too_late_is_a_status() -> None:
    """The Responses API: it raises after two events."""
    out, went_on = await play(RESPONSES, OVERTURE, failure=VLLMClientError("temperature is 9"))
    assert out[0]["status"] == 400
    assert json.loads(body(out))["error"]["message"] == "temperature is 9"
    assert json.loads(body(out))["error"]["param"] == "temperature"
    assert not went_on, "it is the caller's"


async def test_failure_of_the_engine_before_the_first_word_is_a_status_and_logged() -> None:
    out, went_on = await play(RESPONSES, OVERTURE, failure=KeyError("/secret"))
    assert out[0]["status"] == 500
    assert b"secret" not in body(out)
    assert went_on, "uvicorn writes the log"


async def test_failure_in_a_stream_is_its_last_event() -> None:
    delta = event("response.output_text.delta", delta="x")
    out, went_on = await play(RESPONSES, OVERTURE, delta, failure=KeyError("/secret"))
    *_, last = body(out).split(b"\n\n")[:-1]
    name, data = last.split(b"\n")
    assert name == b"event: error"
    error = json.loads(data.removeprefix(b"data: "))
    assert (error["type"], error["code"], error["error"]["code"]) == ("error", "internal_error", "internal_error")
    assert b"secret" not in body(out)
    assert went_on


@pytest.mark.parametrize(("first", "status"), [(REFUSED, 400), (FAILED, 500)])
async def test_message_that_begins_with_an_error_is_a_status(first: bytes, status: int) -> None:
    out, _ = await play(MESSAGES, first)
    assert out[0]["status"] == status
    assert b"Chunk" not in body(out)


async def test_error_of_vllm_s_in_a_message_becomes_a_sentence() -> None:
    out, _ = await play(MESSAGES, event("message_start"), FAILED, b"event: ping\n\n")
    assert body(out).startswith(event("message_start") + b"event: error\n")
    error = json.loads(body(out).split(b"data: ")[-1])
    assert (error["type"], error["error"]["type"], error["error"]["message"]) == (
        "error",
        "api_error",
        "The engine failed.",
    )
    assert b"ping" not in body(out)


async def test_what_is_no_stream_passes() -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"a": 1}'})

    async def send(message: Any) -> None:
        sent.append(message)

    await ContractMiddleware(app)({"type": "http", "path": MESSAGES, "headers": []}, None, send)  # type: ignore[arg-type]
    assert sent[1]["body"] == b'{"a": 1}'


async def test_failure_before_anything_was_sent_is_vllm_s_to_answer() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await ContractMiddleware(app)({"type": "http", "path": MESSAGES, "headers": []}, None, None)  # type: ignore[arg-type]
