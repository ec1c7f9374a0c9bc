"""Responses and messages after a thought: no blank lines, and no item of nothing else. What comes in is what vLLM 0.32 sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.middleware.after_thought import after_thought

RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
_Event = dict[str, Any]


def rewritten(path: str, *events: _Event) -> list[_Event]:
    """What goes out; each event's name is its type."""
    rewriter = after_thought(path)
    out = b"".join(rewriter.rewrite(f"event: {event['type']}\ndata: {json.dumps(event)}".encode()) for event in events)
    found: list[_Event] = []
    for text in out.decode().split("\n\n")[:-1]:
        name, data = text.split("\n")
        payload = json.loads(data.removeprefix("data: "))
        assert name == f"event: {payload['type']}"
        found.append(payload)
    return found


def numbered(*events: _Event) -> list[_Event]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def added(index: int, kind: str) -> _Event:
    return {"type": "response.output_item.added", "output_index": index, "item": {"type": kind, "content": []}}


def delta(index: int, text: str, kind: str = "output_text") -> _Event:
    return {"type": f"response.{kind}.delta", "output_index": index, "delta": text}


def text_item(text: str) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text}] if text else []}


def done(index: int, text: str) -> list[_Event]:
    part = {"type": "output_text", "text": text}
    return [
        {"type": "response.output_text.done", "output_index": index, "text": text},
        {"type": "response.content_part.done", "output_index": index, "part": part},
        {"type": "response.output_item.done", "output_index": index, "item": text_item(text)},
    ]


THOUGHT = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}]}
CALL = {"type": "function_call", "name": "f", "arguments": "{}"}
THINKS = (added(0, "reasoning"), delta(0, "Hm.", "reasoning_text"))


def completed(*output: dict[str, Any]) -> _Event:
    return {"type": "response.completed", "response": {"output": list(output)}}


@pytest.mark.parametrize("pieces", [("\n\n", "The ", "whale"), ("\n", "\nThe ", "whale"), ("\n\nThe ", "whale")])
def test_text_of_a_response(pieces: tuple[str, ...]) -> None:
    whole = "".join(pieces)
    deltas = [delta(1, piece) for piece in pieces]
    came = numbered(
        *THINKS,
        added(1, "message"),
        *deltas,
        *done(1, whole),
        completed(THOUGHT, text_item(whole)),
    )
    out = rewritten(RESPONSES, *came)
    assert [event["type"] for event in out] == [event["type"] for event in came]
    assert [event["sequence_number"] for event in out] == list(range(len(came)))
    assert "".join(event["delta"] for event in out if event["type"] == "response.output_text.delta") == "The whale"
    *_, text, part, item, end = out
    assert text["text"] == part["part"]["text"] == item["item"]["content"][0]["text"] == "The whale"
    assert end["response"]["output"] == [THOUGHT, text_item("The whale")]


def test_message_of_nothing_but_blank_lines() -> None:
    """It is left out, and what follows moves up."""
    came = numbered(
        *THINKS,
        added(1, "message"),
        delta(1, "\n\n"),
        *done(1, "\n\n"),
        added(2, "function_call"),
        delta(2, "{}", "function_call_arguments"),
        completed(THOUGHT, text_item("\n\n"), CALL),
    )
    out = rewritten(RESPONSES, *came)
    assert out == numbered(
        *THINKS, added(1, "function_call"), delta(1, "{}", "function_call_arguments"), completed(THOUGHT, CALL)
    )


def test_response_without_a_thought_stays_as_it_is() -> None:
    text = "\n\nThe whale"
    came = numbered(added(0, "message"), delta(0, text), *done(0, text), completed(text_item(text)))
    assert rewritten(RESPONSES, *came) == came


def test_whole_response() -> None:
    response: dict[str, Any] = {"id": "r", "output": [THOUGHT, text_item("\n\nThe whale"), text_item("\n"), CALL]}
    after_thought(RESPONSES).whole(response)
    assert response == {"id": "r", "output": [THOUGHT, text_item("The whale"), CALL]}
    for other in ({"output": [text_item("\nThe whale")]}, {"error": {}}):
        same = json.loads(json.dumps(other))
        after_thought(RESPONSES).whole(same)
        assert same == other


def start(index: int, **block: Any) -> _Event:
    return {"type": "content_block_start", "index": index, "content_block": block}


def block_delta(index: int, **fields: Any) -> _Event:
    return {"type": "content_block_delta", "index": index, "delta": fields}


def stop(index: int) -> _Event:
    return {"type": "content_block_stop", "index": index}


OPENING = {"type": "message_start", "message": {"content": []}}
THINKING = (
    OPENING,
    start(0, type="thinking", thinking=""),
    block_delta(0, type="thinking_delta", thinking="Hm."),
    stop(0),
)


@pytest.mark.parametrize("pieces", [("\n\n", "The ", "whale"), ("\n\nThe ", "whale")])
def test_text_of_a_message(pieces: tuple[str, ...]) -> None:
    deltas = [block_delta(1, type="text_delta", text=piece) for piece in pieces]
    out = rewritten(MESSAGES, *THINKING, start(1, type="text", text=""), *deltas, stop(1), {"type": "message_stop"})
    assert out[:4] == list(THINKING)
    assert out[4] == start(1, type="text", text="")
    assert "".join(event["delta"]["text"] for event in out[5:-2]) == "The whale"
    assert out[-2:] == [stop(1), {"type": "message_stop"}]


def test_block_of_nothing_but_blank_lines() -> None:
    blank = (start(1, type="text", text=""), block_delta(1, type="text_delta", text="\n\n"), stop(1))
    call = (start(2, type="tool_use", id="t"), block_delta(2, type="input_json_delta", partial_json="{}"), stop(2))
    out = rewritten(MESSAGES, *THINKING, *blank, *call)
    assert out == [*THINKING, *({**event, "index": 1} for event in call)]


def test_message_without_a_thought_stays_as_it_is() -> None:
    came = [OPENING, start(0, type="text", text=""), block_delta(0, type="text_delta", text="\n\nThe"), stop(0)]
    assert rewritten(MESSAGES, *came) == came


def test_whole_message() -> None:
    thought, text, blank = (
        {"type": "thinking"},
        {"type": "text", "text": "\n\nThe whale"},
        {"type": "text", "text": "\n"},
    )
    message: dict[str, Any] = {"content": [thought, text, blank, {"type": "tool_use"}]}
    after_thought(MESSAGES).whole(message)
    assert message == {"content": [thought, {"type": "text", "text": "The whale"}, {"type": "tool_use"}]}
