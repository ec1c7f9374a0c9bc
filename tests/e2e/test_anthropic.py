"""The Messages API on real vLLM, through the ``anthropic`` package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.conftest import RunningCluster

pytestmark = pytest.mark.engine

QUESTION: Any = [{"role": "user", "content": "What is the largest animal?"}]
WEATHER: Any = [{"role": "user", "content": "What is the weather in Taipei and Tokyo?"}]
OFF: Any = {"type": "disabled"}
BUDGET: Any = {"type": "enabled", "budget_tokens": 1024}
TOOL: Any = {
    "name": "get_weather",
    "description": "Get the current weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture(params=["", "/anthropic"], ids=["root", "anthropic"])
def each_api(cluster: RunningCluster, request: pytest.FixtureRequest) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="x", base_url=cluster.endpoint + request.param, max_retries=0) as api:
        yield api


@pytest.fixture
def api(cluster: RunningCluster) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="x", base_url=cluster.endpoint, max_retries=0) as api:
        yield api


def ask(api: anthropic.Anthropic, uid: str, messages: Any = QUESTION, **fields: Any) -> Any:
    create: Any = api.messages.create
    return create(**{"model": uid, "messages": messages, "max_tokens": 2000, **greedy(fields)})


def greedy(fields: dict[str, Any]) -> dict[str, Any]:
    """Newer versions of the package have no ``temperature`` of their own."""
    return {**fields, "extra_body": {"temperature": 0, **fields.get("extra_body", {})}}


def kinds(message: Any) -> list[str]:
    return [block.type for block in message.content]


def test_message(each_api: anthropic.Anthropic, tiny_chat: str) -> None:
    message = ask(each_api, tiny_chat, system="You are a helpful assistant.")
    assert (message.type, message.role, message.model) == ("message", "assistant", tiny_chat)
    assert message.stop_reason == "end_turn"
    assert kinds(message) == ["thinking", "text"]
    assert "blue whale" in message.content[1].text
    assert message.usage.output_tokens > 10
    assert message._request_id


@pytest.mark.parametrize(
    ("fields", "thinks"),
    [
        ({"thinking": OFF}, False),
        ({"thinking": BUDGET}, True),
        ({"thinking": {"type": "adaptive"}}, True),
        ({"extra_body": {"enable_thinking": False}}, False),
        ({"output_config": {"effort": "low"}}, True),
        ({"output_config": {"effort": "low"}, "thinking": OFF}, False),
    ],
    ids=repr,
)
def test_thinking(api: anthropic.Anthropic, tiny_chat: str, fields: dict[str, Any], thinks: bool) -> None:
    message = ask(api, tiny_chat, **fields)
    assert kinds(message) == (["thinking", "text"] if thinks else ["text"])
    assert message.content[-1].text.startswith("The")
    assert "blue whale" in message.content[-1].text


def test_stream(each_api: anthropic.Anthropic, tiny_chat: str) -> None:
    fields: Any = greedy({"model": tiny_chat, "messages": QUESTION, "max_tokens": 2000})
    with each_api.messages.stream(**fields) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_message()
    assert (events[0], events[-1]) == ("message_start", "message_stop")
    assert {"thinking", "text", "message_delta"} <= set(events)
    assert kinds(final) == ["thinking", "text"]
    assert final.content[1].text.startswith("The")
    assert "blue whale" in final.content[1].text
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 10


@pytest.mark.parametrize(
    "choice", [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "get_weather"}], ids=repr
)
def test_tools(api: anthropic.Anthropic, tiny_chat: str, choice: Any) -> None:
    message = ask(api, tiny_chat, WEATHER, tools=[TOOL], tool_choice=choice, thinking=OFF)
    assert message.stop_reason == "tool_use"
    assert message.content[0].input == {"city": "Taipei"}
    assert {block.name for block in message.content} == {"get_weather"}


def test_conversation_with_a_tool_goes_on(api: anthropic.Anthropic, tiny_chat: str) -> None:
    asked: Any = [{"role": "user", "content": "What is the weather in Taipei?"}]
    first = ask(api, tiny_chat, asked, tools=[TOOL], thinking=BUDGET)
    assert kinds(first) == ["thinking", "tool_use"]
    result = {"type": "tool_result", "tool_use_id": first.content[1].id, "content": '{"temperature": 21}'}
    more = [*asked, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    assert "21" in ask(api, tiny_chat, more, tools=[TOOL], thinking=OFF).content[-1].text


def test_streamed_tool_calls(api: anthropic.Anthropic, tiny_chat: str) -> None:
    fields = {"model": tiny_chat, "messages": WEATHER, "max_tokens": 200, "tools": [TOOL], "thinking": OFF}
    stream: Any = api.messages.stream(**greedy(fields))  # type: ignore[arg-type]
    with stream as events:
        final = events.get_final_message()
    assert [block.input for block in final.content] == [{"city": "Taipei"}, {"city": "Tokyo"}]
    assert final.stop_reason == "tool_use"


def test_ends_of_an_answer(api: anthropic.Anthropic, tiny_chat: str) -> None:
    stopped = ask(api, tiny_chat, stop_sequences=["whale"], thinking=OFF)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "whale")
    cut = ask(api, tiny_chat, max_tokens=3, thinking=OFF)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 3)


def test_answer_to_a_json_schema(api: anthropic.Anthropic, tiny_chat: str) -> None:
    schema = {"type": "object", "properties": {"animal": {"enum": ["blue whale", "ant"]}}, "required": ["animal"]}
    form = {"format": {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}}
    message = ask(api, tiny_chat, output_config=form, thinking=OFF)
    assert json.loads(message.content[0].text)["animal"] in ("blue whale", "ant")


def test_count_tokens(each_api: anthropic.Anthropic, tiny_chat: str) -> None:
    """As many as the message then takes, with the thinking switch, system prompt and tools that it has."""
    for fields in ({}, {"thinking": OFF}, {"system": "You are a helpful assistant.", "tools": [TOOL]}):
        counted = each_api.messages.count_tokens(model=tiny_chat, messages=QUESTION, **fields)  # type: ignore[arg-type]
        assert counted.input_tokens == ask(each_api, tiny_chat, **{"max_tokens": 1, **fields}).usage.input_tokens


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"max_tokens": 9999}, "max_model_len=4096"),
        ({"extra_body": {"temperature": 9}}, "temperature"),
        ({"messages": [{"role": "user", "content": [{"type": "nope"}]}]}, "messages.0.content.0.type: Input should be"),
        ({"messages": []}, "at least one message"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1}}, "budget_tokens"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "nonsense"}}}}, ""),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_refused(
    api: anthropic.Anthropic, tiny_chat: str, fields: dict[str, Any], sentence: str, streams: bool
) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(api, tiny_chat, **{"stream": streams, **fields})
    assert caught.value.type == "invalid_request_error"
    assert sentence in (caught.value.api_message or "")


def test_unknown_model(each_api: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="There is no model 'ghost'") as caught:
        ask(each_api, "ghost")
    assert caught.value.type == "not_found_error"
    assert caught.value.request_id


def test_models(cluster: RunningCluster, api: anthropic.Anthropic, tiny_chat: str) -> None:
    """At either address: Anthropic's client asks ``/v1/models``, which is OpenAI's list here, and reads that as well."""
    assert tiny_chat in [model.id for model in api.models.list()]
    with anthropic.Anthropic(api_key="x", base_url=f"{cluster.endpoint}/anthropic", max_retries=0) as own:
        assert tiny_chat in [model.id for model in own.models.list()]
        assert own.models.retrieve(tiny_chat).max_input_tokens == 4096
