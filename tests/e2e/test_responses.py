"""The Responses API on real vLLM, through the ``openai`` package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.conftest import RunningCluster

pytestmark = pytest.mark.engine

QUESTION = "What is the largest animal?"
WEATHER = "What is the weather in Taipei?"
NO_THINKING = {"enable_thinking": False}
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}
SCHEMA: Any = {
    "type": "object",
    "properties": {"animal": {"enum": ["blue whale", "ant"]}},
    "required": ["animal"],
    "additionalProperties": False,
}


@pytest.fixture
def api(cluster: RunningCluster) -> Iterator[openai.Client]:
    with openai.Client(api_key="cannot be empty", base_url=f"{cluster.endpoint}/v1", max_retries=0) as api:
        yield api


def respond(api: openai.Client, uid: str, said: Any = QUESTION, **fields: Any) -> Any:
    create: Any = api.responses.create
    return create(model=uid, input=said, temperature=0, **fields)


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({}, True),
        ({"reasoning": {"effort": "low"}}, True),
        ({"reasoning": {"effort": "none"}}, False),
        ({"extra_body": NO_THINKING}, False),
        ({"instructions": "You are a helpful assistant.", "store": True, "metadata": {"a": "b"}}, True),
    ],
    ids=repr,
)
def test_answer(api: openai.Client, tiny_chat: str, fields: dict[str, Any], thinks: bool) -> None:
    answer = respond(api, tiny_chat, **fields)
    assert (answer.object, answer.status, answer.model) == ("response", "completed", tiny_chat)
    assert "blue whale" in answer.output_text
    assert answer.output_text.startswith("The")
    assert [item.type for item in answer.output] == (["reasoning", "message"] if thinks else ["message"])
    assert bool(answer.usage.output_tokens_details.reasoning_tokens) is thinks
    if "reasoning" in fields:
        assert answer.reasoning.effort == fields["reasoning"]["effort"]
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_answer_that_is_cut(api: openai.Client, tiny_chat: str) -> None:
    answer = respond(api, tiny_chat, max_output_tokens=4)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_stream(api: openai.Client, tiny_chat: str) -> None:
    with api.responses.stream(model=tiny_chat, input=QUESTION, temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert "response.reasoning_text.delta" in kinds
    assert [event.sequence_number for event in events] == sorted(event.sequence_number for event in events)
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == final.output_text
    assert text.startswith("The")
    assert "blue whale" in text


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "name": "get_weather"}], ids=repr)
def test_tools(api: openai.Client, tiny_chat: str, choice: Any) -> None:
    answer = respond(api, tiny_chat, WEATHER, tools=[TOOL], tool_choice=choice, extra_body=NO_THINKING)
    (call,) = answer.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_weather", {"city": "Taipei"})


def test_conversation_with_a_tool_goes_on(api: openai.Client, tiny_chat: str) -> None:
    """The output of one response is part of the input of the next, as they are not kept."""
    asked: list[Any] = [{"role": "user", "content": WEATHER}]
    first = respond(api, tiny_chat, asked, tools=[TOOL])
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    result = {"type": "function_call_output", "call_id": first.output[-1].call_id, "output": '{"temperature": 21}'}
    more = [*asked, *first.output, result]
    assert "21" in respond(api, tiny_chat, more, tools=[TOOL], extra_body=NO_THINKING).output_text


def test_streamed_tool_call(api: openai.Client, tiny_chat: str) -> None:
    events = list(respond(api, tiny_chat, WEATHER, tools=[TOOL], extra_body=NO_THINKING, stream=True))
    arguments = "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta")
    assert json.loads(arguments) == {"city": "Taipei"}
    assert events[-1].response.output[0].name == "get_weather"


def test_streamed_tool_call_after_a_thought(api: openai.Client, tiny_chat: str) -> None:
    """The empty lines between the two are no message."""
    events = list(respond(api, tiny_chat, WEATHER, tools=[TOOL], stream=True))
    items = [(event.output_index, event.item.type) for event in events if event.type == "response.output_item.added"]
    assert items == [(0, "reasoning"), (1, "function_call")]
    assert [item.type for item in events[-1].response.output] == ["reasoning", "function_call"]
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize("thinking", [True, False])
def test_text_format(api: openai.Client, tiny_chat: str, thinking: bool) -> None:
    form: Any = {"format": {"type": "json_schema", "name": "animal", "schema": SCHEMA, "strict": True}}
    answer = respond(api, tiny_chat, text=form, extra_body={"enable_thinking": thinking})
    assert json.loads(answer.output_text)["animal"] in ("blue whale", "ant")
    assert (answer.output[0].type == "reasoning") is thinking


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "nonsense"}}}}, "nonsense"),
        ({"temperature": 9}, "temperature"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input.0.role: Input should be 'user'"),
        ({"max_output_tokens": 9999}, "max_model_len=4096"),
        ({"previous_response_id": "resp_1"}, "not kept"),
        ({"conversation": "conv_1"}, "not kept"),
        ({"background": True}, "no background mode"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_refused(
    api: openai.Client, tiny_chat: str, fields: dict[str, Any], sentence: str, streams: bool
) -> None:
    """A stream is refused like everything else: by its status."""
    create: Any = api.responses.create
    with pytest.raises(openai.BadRequestError) as caught:
        create(**{"model": tiny_chat, "input": QUESTION, "stream": streams, **fields})
    assert sentence in caught.value.message


def test_unknown_model_and_response(api: openai.Client, tiny_chat: str) -> None:
    with pytest.raises(openai.NotFoundError, match="There is no model 'ghost'"):
        respond(api, "ghost")
    with pytest.raises(openai.NotFoundError, match="not kept"):
        api.responses.retrieve(respond(api, tiny_chat, max_output_tokens=1).id)
