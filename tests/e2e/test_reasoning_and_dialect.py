"""What only real vLLM shows of reasoning, tool calls in streams, Xinference's fields and aborts."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
import requests

from tests.conftest import RunningCluster
from tests.waiting import wait_for
from xinfer.client import RESTfulClient

pytestmark = pytest.mark.engine

WHALE = [{"role": "user", "content": "What is the largest animal?"}]
WEATHER = [{"role": "user", "content": "What is the weather in Paris and in Rome?"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather.", "parameters": CITY}}]
NAMED = {"type": "function", "function": {"name": "get_weather"}}


class Asking:
    """Chats with ``tiny-chat`` over HTTP, greedily."""

    def __init__(self, endpoint: str, uid: str) -> None:
        self._endpoint, self._uid = endpoint, uid

    def post(self, path: str = "/v1/chat/completions", **fields: Any) -> requests.Response:
        body = {"model": self._uid, "temperature": 0, **({"messages": WHALE} if "chat" in path else {}), **fields}
        return requests.post(f"{self._endpoint}{path}", json=body, timeout=60)

    def whole(self, **fields: Any) -> dict[str, Any]:
        """The one choice."""
        reply = self.post(**fields)
        assert reply.status_code == 200, reply.text
        (choice,) = reply.json()["choices"]
        found: dict[str, Any] = choice
        return found

    def stream(self, **fields: Any) -> list[dict[str, Any]]:
        """Its choices, chunk by chunk."""
        reply = self.post(stream=True, **fields)
        assert reply.status_code == 200, reply.text
        *lines, done = [line for line in reply.text.split("\n\n") if line.startswith("data: ")]
        assert done == "data: [DONE]"
        return [choice for line in lines for choice in json.loads(line[6:])["choices"]]


@pytest.fixture(scope="module")
def ask(cluster: RunningCluster, tiny_chat: str) -> Asking:
    return Asking(cluster.endpoint, tiny_chat)


def text(stream: list[dict[str, Any]], field: str = "content") -> str:
    return "".join(choice["delta"].get(field, "") for choice in stream)


@pytest.mark.parametrize("thinking", [True, False])
def test_reasoning_in_three_ways(ask: Asking, thinking: bool) -> None:
    switch = {"enable_thinking": thinking}
    split = ask.whole(**switch)["message"]
    thought, said = split.get("reasoning_content", ""), split["content"]
    assert bool(thought) is thinking
    assert said.startswith("The largest animal is the blue whale")
    inline = ask.whole(**switch, reasoning_content=False)["message"]
    assert inline["content"] == (f"<think>\n{thought}\n</think>\n\n{said}" if thinking else said)
    omitted = ask.whole(**switch, include_reasoning=False)["message"]
    assert omitted["content"] == said
    assert not {"reasoning", "reasoning_content"} & (inline.keys() | omitted.keys())
    for fields, message in (
        ({}, split),
        ({"reasoning_content": False}, inline),
        ({"include_reasoning": False}, omitted),
    ):
        stream = ask.stream(**switch, **fields)
        assert text(stream) == message["content"]
        assert text(stream, "reasoning_content").strip() == message.get("reasoning_content", "")


def test_omitted_reasoning_was_thought_nevertheless(ask: Asking) -> None:
    shown, omitted = (ask.post(include_reasoning=show).json()["usage"] for show in (True, False))
    assert shown["completion_tokens"] == omitted["completion_tokens"]


def test_constrained_answer_without_its_reasoning(ask: Asking) -> None:
    """With its own field for this, vLLM constrains the thoughts and says nothing."""
    fields = {"include_reasoning": False, "guided_choice": ["a whale", "a cat"]}
    assert ask.whole(**fields)["message"]["content"] in ("a whale", "a cat")
    assert text(ask.stream(**fields)) in ("a whale", "a cat")


@pytest.mark.parametrize("fields", [{"thinking_budget": 5}, {"thinking_token_budget": 5}])
def test_engine_s_own_budget(ask: Asking, fields: dict[str, Any]) -> None:
    reply = ask.post(**fields).json()
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5
    assert "blue whale" in reply["choices"][0]["message"]["content"]


def test_effort(ask: Asking) -> None:
    assert "reasoning_content" not in ask.whole(reasoning_effort="none")["message"]
    assert "reasoning_content" in ask.whole(reasoning_effort="low")["message"]
    reply = ask.post(reasoning_effort="high", enable_thinking=False)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "enable_thinking")


@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize(("choice", "finish"), [("auto", "tool_calls"), ("required", "tool_calls"), (NAMED, "stop")])
def test_calls_come_whole_with_the_finish(ask: Asking, choice: Any, finish: str, thinking: bool) -> None:
    fields = {"messages": WEATHER, "tools": TOOLS, "tool_choice": choice, "enable_thinking": thinking}
    *rest, last = ask.stream(**fields)
    whole = ask.whole(**fields)
    assert (last["finish_reason"], whole["finish_reason"]) == (finish, finish)
    assert not any("tool_calls" in each["delta"] for each in rest)
    assert all(isinstance(each["delta"]["content"], str) for each in (*rest, last))
    got, expected = last["delta"]["tool_calls"], whole["message"]["tool_calls"]
    assert [call["function"] for call in got] == [call["function"] for call in expected]
    assert [call["index"] for call in got] == list(range(len(got)))
    assert all(call["id"] and call["type"] == "function" for call in got)
    assert [json.loads(call["function"]["arguments"]) for call in got][:1] == [{"city": "Paris"}]


def test_calls_bit_by_bit_for_who_asks(ask: Asking) -> None:
    fields = {"messages": WEATHER, "tools": TOOLS, "enable_thinking": False}
    *_, whole = ask.stream(**fields)
    stream = ask.stream(**fields, stream_options={"incremental_tool_calls": True})
    pieces = [piece for each in stream for piece in each["delta"].get("tool_calls", ())]
    assert len(pieces) > 4
    for call in whole["delta"]["tool_calls"]:
        mine = [piece["function"].get("arguments") or "" for piece in pieces if piece["index"] == call["index"]]
        assert "".join(mine) == call["function"]["arguments"]


def test_call_that_is_cut_off(ask: Asking) -> None:
    *_, last = ask.stream(messages=WEATHER, tools=TOOLS, enable_thinking=False, max_tokens=14)
    assert last["finish_reason"] == "length"
    assert all(call["function"]["name"] == "get_weather" for call in last["delta"]["tool_calls"])


def test_calls_beside_reasoning_in_the_content(ask: Asking) -> None:
    fields = {"messages": WEATHER, "tools": TOOLS, "reasoning_content": False}
    stream, whole = ask.stream(**fields), ask.whole(**fields)["message"]
    assert re.fullmatch(r"<think>\n.+\n</think>\s*", text(stream), re.DOTALL)
    assert text(stream).rstrip() == whole["content"].rstrip()
    assert len(stream[-1]["delta"]["tool_calls"]) == len(whole["tool_calls"]) > 0


def test_openai_s_helper_puts_the_calls_together(cluster: RunningCluster, tiny_chat: str) -> None:
    with openai.Client(api_key="x", base_url=f"{cluster.endpoint}/v1", max_retries=0) as api:
        for options in ({}, {"incremental_tool_calls": True}):
            with api.chat.completions.stream(
                model=tiny_chat,
                messages=WEATHER,  # type: ignore[arg-type]
                tools=TOOLS,  # type: ignore[arg-type]
                temperature=0,
                stream_options={"include_usage": True, **options},  # type: ignore[arg-type]
            ) as stream:
                final = stream.get_final_completion()
            calls = final.choices[0].message.tool_calls or []
            assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Paris", "Rome"]
            assert final.usage is not None


@pytest.mark.parametrize(
    ("fields", "pattern"),
    [
        ({"guided_choice": ["whale", "cat"]}, "whale|cat"),
        ({"guided_regex": "[ab]{3}"}, "[ab]{3}"),
        ({"guided_grammar": 'root ::= "x" | "yy"'}, "x|yy"),
        ({"guided_json": {"enum": [{"a": 1}, {"a": 2}]}}, r'\{"a": ?[12]\}'),
        ({"extra_body": {"guided_regex": "[ab]{3}", "guided_decoding_backend": "outlines"}}, "[ab]{3}"),
        ({"guided_regex": "[ab]{30}", "max_completion_tokens": 2, "max_tokens": 20}, "[ab]{2,8}"),
        ({"stop_token_ids": [], "top_k": 1, "min_p": 0.1, "repetition_penalty": 1.1, "logit_bias": {"9": 1}}, "(?s).+"),
    ],
)
def test_xinference_s_fields(ask: Asking, fields: dict[str, Any], pattern: str) -> None:
    answer = ask.whole(enable_thinking=False, **fields)["message"]["content"]
    assert re.fullmatch(pattern, answer), answer


def test_sampling_fields_reach_the_sampler(ask: Asking) -> None:
    """A strong bias, a stop token, the end ignored: each changes what comes out."""
    plain = ask.post(enable_thinking=False, return_token_ids=True).json()["choices"][0]
    first, second = plain["token_ids"][:2]
    biased = ask.whole(enable_thinking=False, logit_bias={str(first): -100})
    assert biased["message"]["content"] != plain["message"]["content"]
    stopped = ask.whole(enable_thinking=False, stop_token_ids=[second])
    assert len(stopped["message"]["content"]) < len(plain["message"]["content"])
    endless = ask.post(enable_thinking=False, ignore_eos=True, max_tokens=60).json()
    assert endless["usage"]["completion_tokens"] == 60


def test_nulls_are_unset(ask: Asking) -> None:
    nulls = dict.fromkeys(("request_id", "echo", "ignore_eos", "min_tokens", "stop", "tool_choice", "bad_words"))
    choice = ask.whole(messages=WEATHER, tools=TOOLS, enable_thinking=False, **nulls)
    assert choice["finish_reason"] == "tool_calls"


def test_text_completion_constrained_where_the_prompt_has_thought(ask: Asking) -> None:
    prompt = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    refused = ask.post("/v1/completions", prompt=prompt, guided_regex="[ab]{3}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "ability_not_supported")
    reply = ask.post("/v1/completions", prompt=f"{prompt}<think>\n\n</think>\n\n", guided_regex="[ab]{3}").json()
    assert re.fullmatch("[ab]{3}", reply["choices"][0]["text"])


ENDLESS: dict[str, Any] = {"messages": WHALE, "ignore_eos": True, "max_tokens": 3500}


def test_abort_of_a_stream(cluster: RunningCluster, client: RESTfulClient, tiny_chat: str) -> None:
    """The engine stops the work at once, and who reads hears why."""
    body = {"model": tiny_chat, "request_id": "streamed", "stream": True, **ENDLESS}
    with requests.post(f"{cluster.endpoint}/v1/chat/completions", json=body, stream=True, timeout=30) as reply:
        lines = reply.iter_lines(decode_unicode=True)
        assert next(lines).startswith("data: ")
        assert client.abort_request(tiny_chat, "streamed", 0) == {"msg": "DONE"}
        *_, last, done = [line for line in lines if line]
    end = json.loads(last.removeprefix("data: "))
    assert (end["id"], end["choices"][0]["finish_reason"]) == ("chatcmpl-streamed", "abort")
    assert done == "data: [DONE]"
    is_at_rest(client, tiny_chat)
    assert client.abort_request(tiny_chat, "streamed")["msg"] == "NOT_FOUND"


def test_abort_of_a_whole_answer(client: RESTfulClient, ask: Asking, tiny_chat: str) -> None:
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask.post, request_id="whole", **ENDLESS)
        wait_for(lambda: client.abort_request(tiny_chat, "whole", 0)["msg"] == "DONE", 20)
        reply = asking.result()
    assert (reply.status_code, reply.json()["error"]["code"]) == (499, "request_aborted")
    is_at_rest(client, tiny_chat)


def is_at_rest(client: RESTfulClient, uid: str) -> None:
    """Wait until the engine runs nothing."""
    address = client.describe_model(uid)["address"]
    wait_for(lambda: "vllm:num_requests_running" in (m := metrics(address)) and running(m) == 0, 5)


def metrics(address: str) -> str:
    return requests.get(f"{address}/metrics", timeout=5).text


def running(text: str) -> float:
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("vllm:num_requests_running"))
