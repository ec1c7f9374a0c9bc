"""vLLM's answers in the shape that all clients read. The input is what vLLM 0.32 sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.middleware.streams import USAGE, USAGE_CHUNK, chunk, deltas, run, sse, text_chunk
from worker.middleware.stream_rewriter import StreamRewriter, rewrite_response
from xinfer.wire.response_options import ResponseOptions

THINKING = sse(
    chunk(role="assistant", content="", reasoning=None),
    chunk(reasoning="Let me see. 鯨"),
    chunk(reasoning=".", content="The"),
    chunk(content=" whale"),
    chunk("stop", content=None),
    USAGE_CHUNK,
    "[DONE]",
)


def test_reasoning_has_its_own_name_and_content_is_always_text() -> None:
    out = run(THINKING)
    assert deltas(out) == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Let me see. 鯨", "content": ""},
        {"reasoning_content": ".", "content": "The"},
        {"content": " whale"},
        {"content": ""},
    ]
    assert out[-1] == "[DONE]"
    assert out.count("[DONE]") == 1


def test_merged_usage_is_on_the_chunk_that_finishes() -> None:
    *chunks, finish, done = run(THINKING, merge=True)
    assert (finish["usage"], finish["choices"][0]["finish_reason"], done) == (USAGE, "stop", "[DONE]")
    assert not any("usage" in each for each in chunks)
    assert all(each["choices"] for each in chunks)


def test_usage_stays_a_chunk_of_its_own_for_who_asked() -> None:
    *_, finish, usage, done = run(THINKING, merge=False)
    assert "usage" not in finish
    assert (usage, done) == (USAGE_CHUNK, "[DONE]")


@pytest.mark.parametrize("chat", [True, False])
def test_merged_chunk_has_all_of_the_usage_chunk(chat: bool) -> None:
    last = chunk("stop", content="") if chat else text_chunk("", "stop")
    counted = {**USAGE_CHUNK, "system_fingerprint": "vllm-0.32.0-tp1", "metrics": {"ttft_ms": 1.5}}
    finish = run(sse({**last, "usage": {"total_tokens": 1}}, counted, "[DONE]"), chat=chat)[0]
    assert finish == {**last, "usage": USAGE, "system_fingerprint": "vllm-0.32.0-tp1", "metrics": {"ttft_ms": 1.5}}


@pytest.mark.parametrize("chat", [True, False])
def test_fingerprint_of_a_stream_without_usage_stays(chat: bool) -> None:
    last = {**(chunk("stop", content="") if chat else text_chunk("", "stop")), "system_fingerprint": "vllm-0.32.0-tp1"}
    assert run(sse(last, "[DONE]"), chat=chat, merge=False)[0] == last


@pytest.mark.parametrize("merge", [True, False])
def test_cuts_at_any_byte_change_nothing(merge: bool) -> None:
    expected = run(THINKING, merge=merge)
    for cut in range(len(THINKING)):
        assert run(THINKING, merge=merge, cuts=(cut,)) == expected
    assert run(THINKING, merge=merge, cuts=tuple(range(len(THINKING)))) == expected


@given(st.lists(st.integers(0, len(THINKING)), max_size=20), st.booleans())
def test_many_cuts_change_nothing(cuts: list[int], merge: bool) -> None:
    assert run(THINKING, merge=merge, cuts=tuple(cuts)) == run(THINKING, merge=merge)


def test_what_can_go_out_goes_out_at_once() -> None:
    reshaper = StreamRewriter(ResponseOptions(merge_usage=True), chat=True)
    assert b"Let" in reshaper.feed(sse(chunk(content="Let")))
    assert reshaper.feed(b'data: {"id"') == b""


def test_two_answers_finish_each_for_itself() -> None:
    stream = sse(
        chunk(index=0, content="a"),
        chunk(index=1, content="b"),
        chunk("stop", index=0, content=""),
        chunk(index=1, content="c"),
        chunk("length", index=1, content=""),
        USAGE_CHUNK,
        "[DONE]",
    )
    *chunks, done = run(stream)
    told = [(c["index"], c["delta"]["content"], c["finish_reason"]) for each in chunks for c in each["choices"]]
    assert told == [(0, "a", None), (1, "b", None), (0, "", "stop"), (1, "c", None), (1, "", "length")]
    assert [each.get("usage") for each in chunks] == [None, None, None, None, USAGE]
    assert done == "[DONE]"


def test_text_completion_ends_without_done() -> None:
    stream = sse(text_chunk("a"), text_chunk("b", "length"), USAGE_CHUNK, "[DONE]")
    assert run(stream, chat=False) == [text_chunk("a"), {**text_chunk("b", "length"), "usage": USAGE}]
    assert run(stream, chat=False, merge=False) == [text_chunk("a"), text_chunk("b", "length"), USAGE_CHUNK]


def test_text_completion_with_usage_and_finish_in_one() -> None:
    last = {**text_chunk("b", "stop"), "usage": USAGE}
    assert run(sse(last, "[DONE]"), chat=False) == [last]


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("finished", [True, False])
def test_error_ends_the_stream(chat: bool, finished: bool) -> None:
    first = (
        (chunk("stop" if finished else None, content="a")) if chat else text_chunk("a", "stop" if finished else None)
    )
    error = {"error": {"message": "out of blocks", "type": "InternalServerError", "code": 500}}
    *_, last = out = run(sse(first, error, "[DONE]"), chat=chat)
    assert last["error"] == {
        "message": "out of blocks",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }
    assert last["detail"] == "out of blocks"
    assert "[DONE]" not in out
    assert sum("error" in each for each in out) == 1


@pytest.mark.parametrize("error", [{"message": None}, {}, "plain words", ["?"]])
def test_error_of_any_shape_has_words(error: Any) -> None:
    *_, told = run(sse(chunk(content="a"), {"error": error}))
    assert told["detail"]
    assert told["error"]["message"] == told["detail"]


@pytest.mark.parametrize("error", [{"message": None}, {}, "plain words", ["?"], {"code": "500"}, {"code": 200}])
def test_stream_that_begins_with_an_error_is_refused(error: Any) -> None:
    reshaper = StreamRewriter(ResponseOptions(), chat=True)
    assert reshaper.feed(sse({"error": error}, "[DONE]")) + reshaper.finish() == b""
    assert reshaper.refusal is not None
    assert (reshaper.refusal.status, bool(reshaper.refusal.message)) == (500, True)


def test_error_that_is_null_is_none() -> None:
    out = run(sse({**chunk("stop", content="a"), "error": None}, "[DONE]"))
    assert deltas(out) == [{"content": "a"}]


@pytest.mark.parametrize("chat", [True, False])
def test_stream_that_breaks_off_ends_with_an_error(chat: bool) -> None:
    one = chunk(content="a") if chat else text_chunk("a")
    for end in range(len(THINKING if chat else sse(one))):
        data = THINKING[:end] if chat else sse(one)[:end]
        if data.endswith(b"[DONE]\n\n"):
            continue
        *rest, last = run(data, chat=chat)
        assert last["error"]["code"] == "engine_lost"
        assert "[DONE]" not in rest
        assert not any("error" in each for each in rest)


def test_comments_pass() -> None:
    reshaper = StreamRewriter(ResponseOptions(merge_usage=True), chat=True)
    assert reshaper.feed(b": ping\n\n") == b": ping\n\n"


def test_nothing_follows_done() -> None:
    assert run(sse(chunk("stop", content="a"), "[DONE]", chunk(content="late")))[-1] == "[DONE]"


def test_whole_answer() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [{"id": "1"}]},
        {"role": "assistant", "content": "text", "reasoning": None},
        {"role": "assistant"},
    ]
    answer = {"id": "x", "usage": USAGE, "choices": [{"index": n, "message": m} for n, m in enumerate(messages)]}
    got = json.loads(rewrite_response(json.dumps(answer).encode(), ResponseOptions()))
    assert [choice["message"] for choice in got["choices"]] == [
        {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [{"id": "1"}]},
        {"role": "assistant", "content": "text"},
        {"role": "assistant", "content": ""},
    ]
    assert {name: got[name] for name in ("id", "usage")} == {"id": "x", "usage": USAGE}
