"""``langchain-xinference``: ``ChatXinference``, and its ``Xinference`` for text."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool
from langchain_xinference import ChatXinference
from langchain_xinference.llms import Xinference
from shared import ENDPOINT, GREEDY, MESSAGES, MODEL, QUESTION, TWO_CITIES, WEATHER_QUESTION, says, streamed


@tool
def get_weather(city: str) -> str:
    """Get the current weather of a city."""
    return f"It is sunny in {city}."


def chat_model(**options: Any) -> ChatXinference:
    """Greedy; ``options`` go into every request."""
    return ChatXinference(server_url=ENDPOINT, model_uid=MODEL, **{**GREEDY, **options})


@pytest.mark.parametrize("thinking", [False, True])
def test_invoke(thinking: bool) -> None:
    answer = chat_model(enable_thinking=thinking).invoke(MESSAGES)
    assert says(answer.content)
    assert bool(answer.additional_kwargs.get("reasoning_content")) is thinking


def test_invoke_out_of_a_stream() -> None:
    assert says(chat_model(stream=True).invoke(QUESTION).content)


@pytest.mark.parametrize("thinking", [False, True])
def test_stream(thinking: bool) -> None:
    parts = streamed(lambda: chat_model(enable_thinking=thinking).stream(QUESTION))
    assert len(parts) > 3
    whole = sum(parts[1:], parts[0])
    assert says(whole.content)
    assert bool((whole.additional_kwargs.get("reasoning_content") or "").strip()) is thinking


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
def test_tools(streaming: bool, thinking: bool) -> None:
    """In a stream it takes tool calls from the chunk that finishes, and from no other."""
    answer = whole_of(chat_model(enable_thinking=thinking).bind_tools([get_weather]), WEATHER_QUESTION, streaming)
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Taipei"})
    assert call["id"]


@pytest.mark.parametrize("streaming", [False, True])
def test_two_calls_at_once(streaming: bool) -> None:
    llm = chat_model(enable_thinking=False).bind_tools([get_weather])
    calls = whole_of(llm, TWO_CITIES, streaming).tool_calls
    assert [call["args"] for call in calls] == [{"city": "Taipei"}, {"city": "Tokyo"}]


def whole_of(llm: Any, question: str, streaming: bool) -> Any:
    """The answer, in one piece or put together out of a stream."""
    if not streaming:
        return llm.invoke(question)
    first, *more = list(llm.stream(question))
    return sum(more, first)


def test_batch_and_stop() -> None:
    llm = chat_model(enable_thinking=False)
    first, second = llm.batch([QUESTION, "What is the capital of France?"])
    assert says(first.content)
    assert "Paris" in second.content
    assert "whale" not in llm.invoke(QUESTION, stop=[" whale"]).content


async def test_asyncio() -> None:
    """Its asyncio client is made where it is made itself, so that has to be inside the loop."""
    llm = chat_model(enable_thinking=True)
    answer = await llm.ainvoke(QUESTION)
    assert says(answer.content)
    assert answer.additional_kwargs["reasoning_content"]
    assert says("".join([part.content async for part in llm.astream(QUESTION)]))


async def test_text() -> None:
    llm = Xinference(server_url=ENDPOINT, model_uid=MODEL, **GREEDY)
    assert says(llm.invoke(QUESTION))
    assert says("".join(llm.stream(QUESTION)))
    assert says(await llm.ainvoke(QUESTION))
    assert says("".join([part async for part in llm.astream(QUESTION)]))


def test_errors_say_why() -> None:
    with pytest.raises(RuntimeError, match="temperature"):
        chat_model(temperature=9).invoke(QUESTION)
    nobody = ChatXinference(server_url=ENDPOINT, model_uid="nobody")
    with pytest.raises(RuntimeError, match="There is no model 'nobody'"):
        nobody.invoke(QUESTION)
