"""Which streams can go on at another replica, and what that one is asked for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from supervisor.translate.engine_request import EngineRequest, build_engine_request
from supervisor.translate.resume import SentText
from tests.supervisor.completions import CHAT, COMPLETIONS, chat, text
from tests.supervisor.samples import NEVER, spec
from xinfer.errors import InvalidBody
from xinfer.messages import ModelSpec, ReasoningOutput, Resume
from xinfer.wire.response_options import ResponseOptions

GREEDY = {"stream": True, "temperature": 0}


def request(body: dict[str, Any], model: ModelSpec | None = None) -> EngineRequest:
    path = CHAT if "messages" in body else COMPLETIONS
    return build_engine_request(path, msgspec.json.encode(body), body, model or spec())


def sent(*chunks: dict[str, Any]) -> SentText:
    so_far = SentText()
    for chunk in chunks:
        so_far.add({"id": "chatcmpl-1", "created": 7, "object": "chat.completion.chunk", **chunk})
    return so_far


def said(**delta: str) -> SentText:
    return sent({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


@pytest.mark.parametrize(
    ("fields", "is_resumable"),
    [
        ({}, False),
        ({"resume": None}, False),
        ({"resume": False, **GREEDY}, False),
        ({"resume": True, **GREEDY}, True),
        ({"resume": True, "stream": True, "seed": 3}, True),
        ({"resume": "any", "stream": True}, True),
        ({"resume": "any", "stream": True, "presence_penalty": 1}, True),
        ({"resume": True, "temperature": 1}, False),
        ({"resume": True, **GREEDY, "n": 1, "response_format": {"type": "text"}, "tools": [], "logprobs": False}, True),
    ],
)
def test_what_is_asked_for(fields: dict[str, Any], is_resumable: bool) -> None:
    """Only a stream is continued; a whole response is sent again anyway. The engine never sees the field."""
    for body in (chat(**fields), text(**fields)):
        built = request(body)
        assert (built.resumable is not None) == is_resumable
        assert "resume" not in msgspec.json.decode(built.body)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"temperature": 0.7}, "sampled"),
        ({"temperature": None}, "sampled"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"n": 2}, "n is"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 0}, "logprobs"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"guided_choice": ["a", "b"]}, "structured_outputs"),
        ({"continue_final_message": True, "add_generation_prompt": False}, "continue_final_message"),
        ({"include_reasoning": False}, "reasoning_content"),
        ({"resume": "yes"}, "true, false or 'any'"),
        ({"resume": 1}, "true, false or 'any'"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidBody, match=word) as refused:
        request(chat(**{"resume": True, **GREEDY, **fields}))
    assert refused.value.param == "resume"


@pytest.mark.parametrize("fields", [{"prompt": [1, 2]}, {"prompt": ["a", "b"]}, {"echo": True}, {"suffix": "x"}])
def test_what_is_refused_of_text_completions(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidBody, match="could not be resumed"):
        request(text(**{"resume": True, **GREEDY, **fields}))


def test_the_launch_option_is_for_requests_that_do_not_say() -> None:
    """Where it cannot be had, nothing is refused."""
    repeatable = spec(resume=Resume.REPEATABLE)
    assert request(chat(**GREEDY), repeatable).resumable
    assert request(chat(**GREEDY, resume=False), repeatable).resumable is None
    assert request(chat(stream=True), repeatable).resumable is None
    assert request(chat(stream=True), spec(resume=Resume.ANY)).resumable
    assert request(chat(**GREEDY, n=2), repeatable).resumable is None
    never_thinks = spec(thinking=NEVER, reasoning_output=ReasoningOutput.INLINE, resume=Resume.ANY)
    assert request(chat(stream=True), never_thinks).resumable


def test_the_rest_of_a_chat() -> None:
    built = request(
        chat("Hi", resume=True, **GREEDY, max_tokens=20, min_tokens=3, max_completion_tokens=4, thinking_budget=9)
    )
    assert msgspec.json.decode(built.body)["thinking_token_budget"] == 9
    rest = built.rest(said(reasoning_content="hm", content="Hello"), 5)
    body = msgspec.json.decode(rest.body)
    assert body["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "reasoning": "hm"},
    ]
    assert "thinking_token_budget" not in body
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert (body["max_tokens"], body["min_tokens"], body["max_completion_tokens"]) == (15, 0, 1)
    assert (rest.path, rest.resumable) == (built.path, None)
    options = ResponseOptions.from_headers((name.encode(), value.encode()) for name, value in rest.headers.items())
    assert (options.merge_usage, options.reasoning, options.tags) == (True, ReasoningOutput.INLINE, ("", ""))
    again = built.rest(SentText(), 0)
    assert (again.body, again.headers) == (built.body, built.headers)


def test_the_rest_of_a_text_completion() -> None:
    built = request(text("Once", resume=True, **GREEDY))
    rest = built.rest(sent({"choices": [{"index": 0, "text": " upon"}]}), 1)
    assert msgspec.json.decode(rest.body)["prompt"] == "Once upon"


def test_what_was_sent() -> None:
    thought = said(role="assistant", reasoning_content="hm")
    assert (thought.is_thought, thought.is_empty, thought.finished) == (True, False, False)
    assert said(role="assistant", content="").is_empty
    finished = sent({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]})
    assert finished.finished
    assert finished.envelope == {"id": "chatcmpl-1", "created": 7}
