"""``xinference-client``: chat, generate and what stops them, by the handle that ``get_model`` gives."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from shared import GREEDY, MESSAGES, MODEL, QUESTION, WEATHER_MESSAGES, WEATHER_TOOL, says
from xinference_client.client.restful.async_restful_client import AsyncRESTfulChatModelHandle
from xinference_client.client.restful.restful_client import RESTfulChatModelHandle


async def chunks(stream: Any) -> AsyncIterator[dict[str, Any]]:
    """The chunks of a stream of either client."""
    if hasattr(stream, "__aiter__"):
        async for chunk in stream:
            yield chunk
    else:
        for chunk in stream:
            yield chunk


async def deltas(stream: Any) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] async for chunk in chunks(stream)]


def test_handle_chats(model: Any) -> None:
    assert isinstance(model.wrapped, RESTfulChatModelHandle | AsyncRESTfulChatModelHandle)


async def test_chat(model: Any) -> None:
    answer = await model.chat(MESSAGES, generate_config=GREEDY)
    assert answer["object"] == "chat.completion"
    assert answer["model"] == MODEL
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert says(choice["message"]["content"])
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 10


@pytest.mark.parametrize("thinking", [None, False, True])
async def test_enable_thinking(model: Any, thinking: bool | None) -> None:
    answer = await model.chat(MESSAGES, None, thinking, {**GREEDY, "chat_template_kwargs": {"other": 1}})
    message = answer["choices"][0]["message"]
    assert bool(message.get("reasoning_content")) == (thinking is not False)
    assert says(message["content"])


@pytest.mark.parametrize("thinking", [False, True])
async def test_chat_stream(model: Any, thinking: bool) -> None:
    config = {**GREEDY, "stream": True}
    found = [chunk async for chunk in chunks(await model.chat(MESSAGES, None, thinking, config))]
    parts = [chunk["choices"][0]["delta"] for chunk in found]
    assert all(isinstance(delta["content"], str) for delta in parts)
    assert says("".join(delta["content"] for delta in parts))
    assert bool("".join(delta.get("reasoning_content") or "" for delta in parts)) is thinking
    assert [chunk["choices"][0]["finish_reason"] for chunk in found][-1] == "stop"
    assert found[-1]["usage"]["completion_tokens"] > 3


async def test_tool_call(model: Any) -> None:
    answer = await model.chat(WEATHER_MESSAGES, [WEATHER_TOOL], False, GREEDY)
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "Taipei"}


async def test_tool_call_stream(model: Any) -> None:
    found = await deltas(await model.chat(WEATHER_MESSAGES, [WEATHER_TOOL], False, {**GREEDY, "stream": True}))
    calls = [call["function"] for delta in found for call in delta.get("tool_calls") or []]
    assert [call["name"] for call in calls if call.get("name")] == ["get_weather"]
    assert json.loads("".join(call.get("arguments") or "" for call in calls)) == {"city": "Taipei"}


async def test_generate(model: Any) -> None:
    answer = await model.generate(prompt=QUESTION, generate_config=GREEDY)
    assert answer["object"] == "text_completion"
    assert says(answer["choices"][0]["text"])
    stream = await model.generate(QUESTION, {**GREEDY, "stream": True})
    found = [chunk async for chunk in chunks(stream)]
    assert "".join(chunk["choices"][0]["text"] for chunk in found) == answer["choices"][0]["text"]
    assert found[-1]["usage"]["completion_tokens"] == answer["usage"]["completion_tokens"]


async def test_guided_choice(model: Any) -> None:
    answer = await model.chat(MESSAGES, None, False, {**GREEDY, "guided_choice": ["a mouse", "a horse"]})
    assert answer["choices"][0]["message"]["content"] in ("a mouse", "a horse")


async def test_abort_request(client: Any, model: Any) -> None:
    config = {"stream": True, "max_tokens": 4000, "ignore_eos": True, "request_id": f"long-{id(model)}"}
    story = chunks(await model.generate("Once upon a time", config))
    await anext(story)
    assert await client.abort_request(MODEL, config["request_id"]) == {"msg": "DONE"}
    assert await asyncio.wait_for(rest_of(story), 20) < 3900
    assert await client.abort_request(MODEL, "nobody's", block_duration=1) == {"msg": "NOT_FOUND"}


async def rest_of(story: AsyncIterator[dict[str, Any]]) -> int:
    """The number of chunks until its end; a server may tell of an abort as an error, for which the client has no class."""
    read = 0
    with contextlib.suppress(Exception):
        async for _ in story:
            read += 1
    return read


@pytest.mark.parametrize("stream", [False, True])
async def test_refusals_say_why(model: Any, stream: bool) -> None:
    """A stream that is refused is refused before it begins."""
    config = {"stream": stream}
    with pytest.raises(RuntimeError, match=r"Failed to generate chat completion.*temperature"):
        await model.chat(MESSAGES, generate_config={**config, "temperature": 9})
    with pytest.raises(RuntimeError, match="messages"):
        await model.chat([], generate_config=config)
    with pytest.raises(RuntimeError, match=r"Failed to generate completion.*max_tokens"):
        await model.generate(QUESTION, {**config, "max_tokens": 100_000})
