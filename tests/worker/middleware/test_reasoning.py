"""Reasoning beside the content, in it, or left out; in streams and in whole answers, which have to agree."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from tests.worker.middleware.streams import chunk, deltas, run, sse
from worker.middleware.stream_rewriter import rewrite_response
from xinfer.messages import ReasoningOutput
from xinfer.wire.response_options import ResponseOptions

SPLIT = ResponseOptions()
OMIT = ResponseOptions(reasoning=ReasoningOutput.OMIT)
INLINE = ResponseOptions(reasoning=ReasoningOutput.INLINE, tags=("<t>", "</t>"))
CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def streamed(options: ResponseOptions, finish: str, *pieces: dict[str, Any]) -> list[Any]:
    return run(
        sse(chunk(role="assistant", content=""), *(chunk(**p) for p in pieces), chunk(finish), "[DONE]"),
        reasoning=options.reasoning,
        tags=options.tags,
    )


def said(options: ResponseOptions, finish: str, *pieces: dict[str, Any]) -> dict[str, str]:
    """The text of a streamed answer, by field, which has to be that of the same answer in one piece."""
    texts: defaultdict[str, str] = defaultdict(str)
    for delta in deltas(streamed(options, finish, *pieces)):
        for field in ("reasoning_content", "content"):
            texts[field] += delta.get(field, "")
    joined = {field: "".join(p.get(field) or "" for p in pieces) or None for field in ("reasoning", "content")}
    calls = {"tool_calls": [CALL]} if any("tool_calls" in p for p in pieces) else {}
    choice = {"index": 0, "message": {**joined, **calls}, "finish_reason": finish}
    message = json.loads(rewrite_response(json.dumps({"choices": [choice]}).encode(), options))["choices"][0]["message"]
    assert texts["content"] == message["content"]
    assert texts["reasoning_content"] == message.get("reasoning_content", "")
    return dict(texts)


THOUGHT = ({"reasoning": "\n"}, {"reasoning": "Hm"}, {"reasoning": ".\n"}, {"content": "\n\n"}, {"content": "Yes"})
BOUNDARY = ({"reasoning": "Hm.\n", "content": "\n\nYes"},)
PLAIN = ({"content": "\n\nYes"},)


@pytest.mark.parametrize("pieces", [THOUGHT, BOUNDARY])
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_with_reasoning(pieces: tuple[dict[str, Any], ...], finish: str) -> None:
    assert said(SPLIT, finish, *pieces)["content"] == "Yes"
    assert said(OMIT, finish, *pieces) == {"reasoning_content": "", "content": "Yes"}
    raw = "".join(piece.get("reasoning", "") for piece in pieces)
    assert said(INLINE, finish, *pieces)["content"] == f"<t>{raw}</t>\n\nYes"


def test_ends_of_lines_wait_for_more_reasoning_and_nothing_else_waits() -> None:
    pieces = (
        {"reasoning": "\n\nOne"},
        {"reasoning": "\n"},
        {"reasoning": "\n- two\n"},
        {"reasoning": "\n", "content": "Yes"},
    )
    out = deltas(streamed(SPLIT, "stop", *pieces))
    assert [delta.get("reasoning_content") for delta in out] == [None, "One", "\n\n- two", "", None]
    assert said(SPLIT, "stop", *pieces) == {"reasoning_content": "One\n\n- two", "content": "Yes"}


def test_without_reasoning() -> None:
    assert said(SPLIT, "stop", *PLAIN)["content"] == "\n\nYes"
    assert said(INLINE, "stop", *PLAIN)["content"] == "\n\nYes"
    assert (
        said(OMIT, "stop", *PLAIN)["content"] == "Yes"
    )  # the empty lines may be those after reasoning that nobody sees


def test_cut_off_while_it_thought() -> None:
    assert said(INLINE, "length", {"reasoning": "Hm"})["content"] == "<t>Hm"
    assert said(INLINE, "stop", {"reasoning": "Hm"})["content"] == "<t>Hm</t>"
    assert said(OMIT, "length", {"reasoning": "Hm"})["content"] == ""


def test_tool_call_closes_the_reasoning() -> None:
    pieces: tuple[dict[str, Any], ...] = ({"reasoning": "Hm"}, {"content": None, "tool_calls": [CALL]})
    assert said(INLINE, "tool_calls", *pieces)["content"] == "<t>Hm</t>"
    assert deltas(streamed(INLINE, "tool_calls", *pieces))[-1]["tool_calls"] == [CALL]


def test_omitted_reasoning_leaves_no_events() -> None:
    out = streamed(OMIT, "stop", *({"reasoning": "Hm"},) * 50, {"content": "Yes"})
    assert [delta["content"] for delta in deltas(out)] == ["", "Yes", ""]
    assert "Hm" not in json.dumps(out)


def test_omitted_reasoning_is_not_told_by_its_tokens() -> None:
    tokens = {"logprobs": {"content": [{"token": "Hm"}]}, "token_ids": [7]}
    stream = sse({"choices": [{"index": 0, "delta": {"reasoning": "Hm"}, "finish_reason": None, **tokens}]}, "[DONE]")
    assert "Hm" not in json.dumps(run(stream, reasoning=ReasoningOutput.OMIT))
    whole = {"choices": [{"message": {"reasoning": "Hm", "content": "Yes"}, "finish_reason": "stop", **tokens}]}
    choice = json.loads(rewrite_response(json.dumps(whole).encode(), OMIT))["choices"][0]
    assert (choice["logprobs"], choice["token_ids"]) == (None, None)


def test_choices_are_told_apart() -> None:
    stream = sse(chunk(reasoning="A"), chunk(index=1, content="b"), chunk(content="a"), chunk("stop"), "[DONE]")
    told = [
        (c["index"], c["delta"]["content"])
        for each in run(stream, reasoning=INLINE.reasoning, tags=INLINE.tags)[:-1]
        for c in each["choices"]
    ]
    assert told == [(0, "<t>A"), (1, "b"), (0, "</t>a"), (0, "")]
