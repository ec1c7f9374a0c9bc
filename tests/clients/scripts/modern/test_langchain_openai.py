"""``langchain_openai.ChatOpenAI``: what is to be used with LangChain."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import BadRequestError, NotFoundError
from pydantic import BaseModel
from shared import ANSWER, ENDPOINT, GREEDY, MESSAGES, MODEL, QUESTION, TWO_CITIES, WEATHER_QUESTION, says, streamed

AT_ONCE = {"enable_thinking": False}


@tool
def get_weather(city: str) -> str:
    """Get the current weather of a city."""
    return f"It is sunny in {city}."


class Answer(BaseModel):
    """The answer to a question about animals."""

    animal: Literal["elephant", "blue whale", "giraffe"]


class Weather(BaseModel):
    """Get the current weather of a city."""

    city: Literal["Taipei", "Tokyo"]


def chat_model(**options: Any) -> ChatOpenAI:
    """Greedy, with ``options`` of its constructor."""
    fixed = {"base_url": f"{ENDPOINT}/v1", "api_key": "none", "max_retries": 0}
    return ChatOpenAI(**{**fixed, "model": MODEL, **GREEDY, **options})


@pytest.fixture
def llm() -> ChatOpenAI:
    return chat_model(extra_body=AT_ONCE)


def test_invoke(llm: ChatOpenAI) -> None:
    answer = llm.invoke(QUESTION)
    assert says(answer.content)
    assert answer.usage_metadata["total_tokens"] > 10
    assert answer.response_metadata["finish_reason"] == "stop"
    assert says(llm.invoke(MESSAGES).content)


def test_thinking() -> None:
    answer = chat_model(extra_body={"enable_thinking": True}).invoke(QUESTION)
    assert says(answer.content)
    assert (
        answer.usage_metadata["output_tokens"]
        > chat_model(extra_body=AT_ONCE).invoke(QUESTION).usage_metadata["output_tokens"]
    )


@pytest.mark.parametrize("stream_usage", [False, True])
def test_stream(stream_usage: bool) -> None:
    parts = streamed(lambda: chat_model(extra_body=AT_ONCE, stream_usage=stream_usage).stream(QUESTION))
    assert len(parts) > 3
    whole = sum(parts[1:], parts[0])
    assert says(whole.content)
    assert whole.usage_metadata["total_tokens"] > 10


async def test_asyncio(llm: ChatOpenAI) -> None:
    assert says((await llm.ainvoke(QUESTION)).content)
    assert says("".join([part.content async for part in llm.astream(QUESTION)]))
    first, second = await llm.abatch([QUESTION, "What is the capital of France?"])
    assert says(first.content)
    assert "Paris" in second.content


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
def test_tools(streaming: bool, thinking: bool) -> None:
    llm = chat_model(extra_body={"enable_thinking": thinking}).bind_tools([get_weather])
    answer = whole_of(llm, WEATHER_QUESTION, streaming)
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Taipei"})
    assert answer.response_metadata["finish_reason"] == "tool_calls"


def whole_of(llm: Any, question: str, streaming: bool) -> AIMessage:
    """The answer, in one piece or put together out of a stream."""
    if not streaming:
        return llm.invoke(question)
    first, *more = list(llm.stream(question))
    return sum(more, first)


@pytest.mark.parametrize("streaming", [False, True])
def test_two_calls_at_once(llm: ChatOpenAI, streaming: bool) -> None:
    answer = whole_of(llm.bind_tools([get_weather]), TWO_CITIES, streaming)
    assert [call["args"] for call in answer.tool_calls] == [{"city": "Taipei"}, {"city": "Tokyo"}]
    assert len({call["id"] for call in answer.tool_calls}) == 2


@pytest.mark.parametrize("choice", ["required", "Weather"])
def test_tool_choice(llm: ChatOpenAI, choice: str) -> None:
    """A question that this model answers without a tool, unless it is held to one; ``strict`` holds it to the schema, too."""
    answer = llm.bind_tools([Weather], tool_choice=choice, strict=True).invoke(QUESTION)
    (call,) = answer.tool_calls
    assert call["name"] == "Weather"
    assert Weather.model_validate(call["args"])


def test_result_of_a_tool(llm: ChatOpenAI) -> None:
    asked = HumanMessage(WEATHER_QUESTION)
    called = llm.bind_tools([get_weather]).invoke([asked])
    result = ToolMessage(get_weather.invoke(called.tool_calls[0]["args"]), tool_call_id=called.tool_calls[0]["id"])
    answer = llm.bind_tools([get_weather]).invoke([asked, called, result])
    assert "Taipei" in answer.content
    assert not answer.tool_calls


@pytest.mark.parametrize("shape", [Answer, Weather])
def test_structured_output(llm: ChatOpenAI, shape: type[BaseModel]) -> None:
    """A shape is a schema for the answer by default, and else a function that has to be called."""
    method = "function_calling" if shape is Weather else "json_schema"
    question = WEATHER_QUESTION if shape is Weather else QUESTION
    assert isinstance(llm.with_structured_output(shape, method=method, strict=True).invoke(question), shape)


def test_json_mode() -> None:
    """The engine holds a model to JSON; which JSON, only the prompt says, and this model does not read that closely."""
    llm = chat_model(extra_body=AT_ONCE, max_tokens=32)
    structured = llm.with_structured_output(None, method="json_mode", include_raw=True)
    found = structured.invoke(f"{QUESTION} Answer in JSON.")
    assert found["raw"].content.lstrip()[:1] in "{["


def test_logprobs_n_and_stop(llm: ChatOpenAI) -> None:
    answer = llm.bind(logprobs=True, top_logprobs=2).invoke(QUESTION)
    assert len(answer.response_metadata["logprobs"]["content"][0]["top_logprobs"]) == 2
    assert ANSWER not in llm.invoke(QUESTION, stop=[" whale"]).content
    many = chat_model(extra_body=AT_ONCE, temperature=0.7, max_tokens=16, n=3).generate([[HumanMessage(QUESTION)]])
    assert len(many.generations[0]) == 3


def test_responses_api() -> None:
    llm = chat_model(use_responses_api=True, extra_body=AT_ONCE)
    assert says(llm.invoke(QUESTION).text)
    assert says("".join(part.text for part in llm.stream(QUESTION)))
    (call,) = llm.bind_tools([get_weather]).invoke(WEATHER_QUESTION).tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Taipei"})


def test_errors_say_why() -> None:
    with pytest.raises(BadRequestError, match="temperature"):
        chat_model(temperature=9).invoke(QUESTION)
    with pytest.raises(NotFoundError, match="There is no model 'nobody'"):
        chat_model(model="nobody").invoke(QUESTION)
