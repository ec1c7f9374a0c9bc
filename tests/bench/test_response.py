"""Reading an answer: what counts as content, when it came, and how the stream ended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xinfer.bench.response import InferenceResponse, failure_of_response, failure_of_status, parse_stream, parse_whole

USAGE = {"prompt_tokens": 5, "completion_tokens": 3}


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def event(payload: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(payload)}\n\n".encode()


ROLE = event(delta(role="assistant", content=""))
LAST = event(delta("length"))
COUNTS = event({"choices": [], "usage": USAGE})
DONE = b"data: [DONE]\n\n"


def words(count: int) -> list[bytes]:
    return [event(delta(content=f"error {number}")) for number in range(count)]


def read(*pieces: bytes) -> InferenceResponse:
    """The pieces come a second apart."""
    return parse_stream(enumerate(map(bytes, pieces)))


def test_time_of_each_event_with_content() -> None:
    answer = read(ROLE, *words(3), LAST, COUNTS, DONE)
    assert answer == InferenceResponse(content_s=(1, 2, 3), finished=True, usage=USAGE)
    assert failure_of_response(answer) is None


def test_events_in_one_piece_came_at_one_time() -> None:
    first, *others = words(4)
    assert read(ROLE + first, b"".join(others), LAST).content_s == (0, 1, 1, 1)


def test_an_event_in_two_pieces_came_with_the_second() -> None:
    first, second = words(2)
    assert read(first[:-1], first[-1:] + second[:10], second[10:] + LAST).content_s == (1, 2)


def test_line_ends_of_two_characters_wherever_they_are_cut() -> None:
    stream = (words(1)[0] + LAST).replace(b"\n", b"\r\n")
    cut = stream.index(b"\r\n") + 1
    assert read(stream[:cut], stream[cut:]).finished


def test_comments_are_no_events() -> None:
    assert read(b": ping\n\n", *words(1), b": ping\n\n", LAST).content_s == (1,)


@pytest.mark.parametrize("last", [event(delta("stop", content="!")), event(delta("stop", content="!"))[:-2]])
def test_the_event_that_finishes_may_have_content(last: bytes) -> None:
    answer = read(*words(1), last)
    assert (answer.content_s, answer.finished) == ((0, 1), True)


@pytest.mark.parametrize(
    "payload",
    [
        delta(reasoning_content="hm"),
        delta(reasoning="hm"),
        delta(tool_calls=[{"index": 0}]),
        {"choices": [{"text": "a"}]},
    ],
)
def test_what_content_is(payload: dict[str, Any]) -> None:
    assert read(ROLE, event(payload), LAST).content_s == (1,)


def test_an_answer_without_content_has_ended_all_the_same() -> None:
    assert read(ROLE, LAST, DONE) == InferenceResponse(finished=True)


@pytest.mark.parametrize(
    ("code", "kind"), [("engine_lost", "engine_lost"), (500, "server_error"), (None, "server_error")]
)
def test_an_event_with_an_error(code: Any, kind: str) -> None:
    error = {"error": {"message": "gone", "type": "server_error", "code": code}}
    failure = failure_of_response(read(*words(3), event(error)))
    assert failure is not None
    assert (failure.kind, failure.error.message) == (kind, "gone")


@pytest.mark.parametrize("pieces", [[], [ROLE], words(3), [*words(3), DONE], [b"<html>"], [b"data: x\n\n"]])
def test_a_stream_that_does_not_say_why_it_ends(pieces: list[bytes]) -> None:
    failure = failure_of_response(read(*pieces))
    assert failure is not None
    assert failure.kind == "unfinished"


def test_an_answer_in_one_piece() -> None:
    reply = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": USAGE}
    assert parse_whole(json.dumps(reply).encode()) == InferenceResponse(finished=True, usage=USAGE)
    assert not parse_whole(b"[]").finished


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b'{"error": {"message": "full", "code": "model_overloaded"}}', "429 model_overloaded", "full"),
        (b'{"error": {"message": "full", "code": 429, "type": "Busy"}}', "429 Busy", "full"),
        (b"<html>", "429 model_overloaded", "429"),
    ],
)
def test_a_status_that_is_no_success(content: bytes, kind: str, said: str) -> None:
    failure = failure_of_status(429, content)
    assert failure.kind == kind
    assert said in failure.error.message


def test_a_server_that_does_not_know_ignore_eos() -> None:
    failure = failure_of_status(400, b'{"error": {"message": "Unrecognized request argument: ignore_eos"}}')
    assert "--no-ignore-eos" in failure.error.message
