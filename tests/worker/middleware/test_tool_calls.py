"""Tool calls of a stream, whole on the chunk that finishes it. The input is what vLLM 0.32 sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.middleware.streams import USAGE, USAGE_CHUNK, chunk, deltas, payloads, run, sse
from worker.middleware.stream_rewriter import StreamRewriter
from xinfer.wire import sse as wire
from xinfer.wire.response_options import ResponseOptions


def name(index: int, call_id: str = "call-1", function: str = "get_weather") -> dict[str, Any]:
    call = {"id": call_id, "type": "function", "index": index, "function": {"name": function}}
    return {"content": None, "tool_calls": [call]}


def arguments(index: int, text: str) -> dict[str, Any]:
    return {"content": None, "tool_calls": [{"index": index, "function": {"arguments": text}}]}


def whole(index: int, call_id: str, text: str) -> dict[str, Any]:
    return {
        "index": index,
        "id": call_id,
        "type": "function",
        "function": {"name": "get_weather", "arguments": text},
    }


ROLE = chunk(role="assistant", content="")
PARIS, ROME = '{"city": "Paris"}', '{"city": "Rome"}'
CALL = (chunk(**name(0)), *(chunk(**arguments(0, piece)) for piece in ('{"city"', ": ", '"Paris"', "}")))


@pytest.mark.parametrize("finish", ["tool_calls", "stop", "length"])
def test_one_call_comes_whole_with_the_finish(finish: str) -> None:
    """``stop`` is what a named tool choice ends with, in OpenAI's API too."""
    out = run(sse(ROLE, chunk(content="Let me look."), *CALL, chunk(finish), USAGE_CHUNK, "[DONE]"))
    assert deltas(out) == [
        {"role": "assistant", "content": ""},
        {"content": "Let me look."},
        {"content": "", "tool_calls": [whole(0, "call-1", PARIS)]},
    ]
    assert (out[-2]["choices"][0]["finish_reason"], out[-2]["usage"], out[-1]) == (finish, USAGE, "[DONE]")


def test_parallel_calls_keep_their_order() -> None:
    second = (chunk(**name(1, "call-2")), chunk(**arguments(1, ROME)))
    out = run(sse(*CALL, *second, chunk("tool_calls"), "[DONE]"))
    assert deltas(out) == [{"content": "", "tool_calls": [whole(0, "call-1", PARIS), whole(1, "call-2", ROME)]}]


def test_pieces_on_the_finish_chunk_count() -> None:
    out = run(sse(chunk(**name(0)), chunk("tool_calls", **arguments(0, "{}")), "[DONE]"))
    assert deltas(out) == [{"content": "", "tool_calls": [whole(0, "call-1", "{}")]}]


def test_call_that_was_cut_off_comes_as_far_as_it_came() -> None:
    out = run(sse(chunk(**name(0)), chunk(**arguments(0, '{"ci')), chunk("length"), "[DONE]"))
    assert deltas(out)[-1]["tool_calls"] == [whole(0, "call-1", '{"ci')]
    assert out[-2]["choices"][0]["finish_reason"] == "length"


def test_each_choice_has_its_own() -> None:
    pieces = [chunk(index=n, **name(0, f"call-{n}")) for n in (0, 1)] + [chunk(index=1, **arguments(0, ROME))]
    ends = [chunk("tool_calls", index=0), chunk("tool_calls", index=1)]
    first, second, _ = run(sse(*pieces, *ends, "[DONE]"))
    assert first["choices"][0]["delta"]["tool_calls"] == [whole(0, "call-0", "")]
    assert second["choices"][0]["delta"]["tool_calls"] == [whole(0, "call-1", ROME)]


def test_what_else_is_in_a_chunk_still_goes_out() -> None:
    logged = chunk(**arguments(0, "{}"))
    logged["choices"][0]["logprobs"] = {"content": []} | {"refusal": None}
    out = run(sse(chunk(**{**name(0), "content": "Now:"}), logged, chunk("tool_calls"), "[DONE]"))
    assert [delta["content"] for delta in deltas(out)] == ["Now:", "", ""]
    assert out[1]["choices"][0]["logprobs"] is not None


def test_answer_without_calls_has_no_such_field() -> None:
    assert deltas(run(sse(chunk(content="Hi"), chunk("stop"), "[DONE]"))) == [{"content": "Hi"}, {"content": ""}]


def test_incremental_if_the_request_says_so() -> None:
    out = run(sse(*CALL, chunk("tool_calls"), "[DONE]"), whole_tool_calls=False)
    assert [delta.get("tool_calls") for delta in deltas(out)] == [
        *(each["choices"][0]["delta"]["tool_calls"] for each in CALL),
        None,
    ]


@given(st.lists(st.tuples(st.integers(0, 2), st.text(max_size=4)), max_size=12))
def test_whole_tool_calls_are_the_sum_of_their_pieces(pieces: list[tuple[int, str]]) -> None:
    begun = sorted({index for index, _ in pieces})
    stream = [chunk(**name(index, f"id-{index}")) for index in begun]
    stream += [chunk(**arguments(index, text)) for index, text in pieces]
    expected = [whole(index, f"id-{index}", "".join(t for i, t in pieces if i == index)) for index in begun]
    assert deltas(run(sse(*stream, chunk("tool_calls"), "[DONE]")))[-1].get("tool_calls", []) == expected


def test_a_long_call_is_no_silence() -> None:
    """The supervisor gives up an engine that says nothing for two minutes, and calls can be longer."""
    now = 100.0
    reshaper = StreamRewriter(ResponseOptions(), chat=True, clock=lambda: now)
    assert reshaper.feed(sse(ROLE))
    assert reshaper.feed(sse(chunk(**name(0)))) == b""
    signs = 0
    for _ in range(60):
        now += 1
        out = reshaper.feed(sse(chunk(**arguments(0, " "))))
        assert out in (b"", wire.COMMENT)
        signs += out == wire.COMMENT
    assert signs == 12
    out = reshaper.feed(sse(chunk("tool_calls"), "[DONE]"))
    assert json.loads(payloads(out)[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] + "0") == 0
