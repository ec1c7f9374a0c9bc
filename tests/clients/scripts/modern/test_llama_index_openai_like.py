"""``llama-index-llms-openai-like``: what is to be used with LlamaIndex."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from openai import NotFoundError
from pydantic import BaseModel
from shared import ENDPOINT, MODEL, QUESTION, WEATHER_QUESTION, says, streamed


class Answer(BaseModel):
    """The answer to a question about animals."""

    animal: Literal["elephant", "blue whale", "giraffe"]


class Weather(BaseModel):
    """Get the current weather of a city."""

    city: Literal["Taipei", "Tokyo"]


def get_weather(city: str) -> str:
    """Get the current weather of a city."""
    return f"It is sunny in {city}."


TOOLS = [FunctionTool.from_defaults(get_weather, description="Get the current weather of a city.")]
CHAT = [ChatMessage(role="system", content="You are a helpful assistant."), ChatMessage(role="user", content=QUESTION)]


def model(**options: Any) -> OpenAILike:
    """Greedy, a chat model that calls functions, with ``options`` of its constructor."""
    return OpenAILike(
        **{
            "model": MODEL,
            "api_base": f"{ENDPOINT}/v1",
            "api_key": "none",
            "context_window": 4096,
            "is_chat_model": True,
            "is_function_calling_model": True,
            "temperature": 0,
            "max_tokens": 512,
            "max_retries": 0,
            "additional_kwargs": {"extra_body": {"enable_thinking": False}},
            **options,
        }
    )


@pytest.fixture
def llm() -> OpenAILike:
    return model()


def test_complete(llm: OpenAILike) -> None:
    assert says(llm.complete(QUESTION).text)
    *_, last = llm.stream_complete(QUESTION)
    assert says(last.text)


def test_complete_without_a_chat_template() -> None:
    llm = model(is_chat_model=False, is_function_calling_model=False, additional_kwargs={})
    assert says(llm.complete(QUESTION).text)
    *_, last = llm.stream_complete(QUESTION)
    assert says(last.text)


def test_chat(llm: OpenAILike) -> None:
    answer = llm.chat(CHAT)
    assert says(answer.message.content)
    assert answer.raw.usage.total_tokens > 10


@pytest.mark.parametrize("thinking", [False, True])
def test_stream_chat(thinking: bool) -> None:
    llm = model(additional_kwargs={"extra_body": {"enable_thinking": thinking}})
    parts = streamed(lambda: llm.stream_chat(CHAT))
    assert len(parts) > 3
    assert says(parts[-1].message.content)
    assert "".join(part.delta or "" for part in parts) == parts[-1].message.content


async def test_asyncio(llm: OpenAILike) -> None:
    assert says((await llm.acomplete(QUESTION)).text)
    assert says((await llm.achat(CHAT)).message.content)
    parts = [part async for part in await llm.astream_chat(CHAT)]
    assert says(parts[-1].message.content)
    texts = [part async for part in await llm.astream_complete(QUESTION)]
    assert says(texts[-1].text)


def test_tools(llm: OpenAILike) -> None:
    answer = llm.chat_with_tools(TOOLS, user_msg=WEATHER_QUESTION)
    (call,) = llm.get_tool_calls_from_response(answer)
    assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Taipei"})


async def test_streamed_tools(llm: OpenAILike) -> None:
    *_, last = llm.stream_chat_with_tools(TOOLS, user_msg=WEATHER_QUESTION)
    (call,) = llm.get_tool_calls_from_response(last)
    assert call.tool_kwargs == {"city": "Taipei"}
    parts = [part async for part in await llm.astream_chat_with_tools(TOOLS, user_msg=WEATHER_QUESTION)]
    (call,) = llm.get_tool_calls_from_response(parts[-1])
    assert call.tool_kwargs == {"city": "Taipei"}


def test_predict_and_call(llm: OpenAILike) -> None:
    assert "sunny in Taipei" in str(llm.predict_and_call(TOOLS, user_msg=WEATHER_QUESTION))


def test_structured_output() -> None:
    """By a schema for the answer, or by a function that has to be called."""
    by_schema = model(should_use_structured_outputs=True).as_structured_llm(Answer)
    assert isinstance(by_schema.complete(QUESTION).raw, Answer)
    by_function = model(strict=True).as_structured_llm(Weather)
    assert isinstance(by_function.complete(WEATHER_QUESTION).raw, Weather)


def test_errors_say_why() -> None:
    with pytest.raises(NotFoundError, match="There is no model 'nobody'"):
        model(model="nobody").complete(QUESTION)
