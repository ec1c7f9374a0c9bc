"""The OpenAI API on real vLLM: shapes, counts, streams, thinking, through curl and the ``openai`` package."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
import requests

from tests.conftest import RunningCluster
from tests.waiting import wait_for

# A dozen long responses.
heavy = pytest.mark.heavy

pytestmark = pytest.mark.engine

QUESTION = "What is the largest animal?"
MESSAGES: list[Any] = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": QUESTION},
]
CHAT = {"messages": MESSAGES, "max_tokens": 512, "temperature": 0.7}


@pytest.fixture
def api(cluster: RunningCluster) -> Iterator[openai.Client]:
    with openai.Client(api_key="cannot be empty", base_url=f"{cluster.endpoint}/v1", max_retries=0) as api:
        yield api


def curl(url: str, body: dict[str, Any]) -> str:
    headers = ["-H", "accept: application/json", "-H", "Content-Type: application/json"]
    command = ["curl", "-sSN", "--max-time", "60", "-X", "POST", url, *headers, "-d", json.dumps(body)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def events(text: str) -> list[dict[str, Any]]:
    """The JSON of a stream's events; ``[DONE]`` must be the last one of a chat."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize("thinking", [None, False, True])
def test_curl_chat(cluster: RunningCluster, tiny_chat: str, thinking: bool | None) -> None:
    switch = {} if thinking is None else {"enable_thinking": thinking}
    answer = json.loads(curl(f"{cluster.endpoint}/v1/chat/completions", {"model": tiny_chat, **CHAT, **switch}))
    assert answer["object"] == "chat.completion"
    assert answer["model"] == tiny_chat
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    message = choice["message"]
    assert message["role"] == "assistant"
    assert "blue whale" in message["content"].lower()
    assert "<think>" not in message["content"]
    assert bool(message.get("reasoning_content")) == (thinking is not False)
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] > 10
    assert usage["completion_tokens"] > 3


@pytest.mark.parametrize("thinking", [None, False, True])
def test_curl_chat_stream(cluster: RunningCluster, tiny_chat: str, thinking: bool | None) -> None:
    switch = {} if thinking is None else {"enable_thinking": thinking}
    body = {"model": tiny_chat, **CHAT, **switch, "stream": True}
    text = curl(f"{cluster.endpoint}/v1/chat/completions", body)
    assert text.rstrip().endswith("data: [DONE]")
    chunks = events(text)
    assert all(chunk["object"] == "chat.completion.chunk" and len(chunk["choices"]) == 1 for chunk in chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert all(isinstance(delta["content"], str) for delta in deltas)
    assert deltas[0]["role"] == "assistant"
    assert "blue whale" in "".join(delta["content"] for delta in deltas).lower()
    reasoning = "".join(delta.get("reasoning_content") or "" for delta in deltas)
    assert bool(reasoning.strip()) == (thinking is not False)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] > 3
    assert not any(chunk.get("usage") for chunk in chunks[:-1])


def test_curl_completions(cluster: RunningCluster, tiny_chat: str) -> None:
    body = {"model": tiny_chat, "prompt": QUESTION, "max_tokens": 64, "temperature": 0}
    url = f"{cluster.endpoint}/v1/completions"
    answer = json.loads(curl(url, body))
    assert answer["object"] == "text_completion"
    assert "blue whale" in answer["choices"][0]["text"].lower()
    text = curl(url, {**body, "stream": True})
    assert "[DONE]" not in text
    chunks = events(text)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == answer["choices"][0]["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == answer["choices"][0]["finish_reason"]
    assert chunks[-1]["usage"] == {k: v for k, v in answer["usage"].items() if k in chunks[-1]["usage"]}


def test_usage_counts_are_the_tokenizers(api: openai.Client, tiny_chat: str) -> None:
    from transformers import AutoTokenizer

    from xinfer.tiny_chat import model_path

    tokenizer = AutoTokenizer.from_pretrained(model_path())
    answer = api.completions.create(model=tiny_chat, prompt=QUESTION, max_tokens=7, temperature=0)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(tokenizer(QUESTION)["input_ids"])
    assert answer.usage.completion_tokens <= 7
    cut = api.completions.create(model=tiny_chat, prompt="Once upon a time", max_tokens=3, temperature=0)
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage is not None
    assert cut.usage.completion_tokens == 3


def test_openai_chat(api: openai.Client, tiny_chat: str) -> None:
    answer = api.chat.completions.create(model=tiny_chat, messages=MESSAGES, temperature=0)
    assert "blue whale" in (answer.choices[0].message.content or "").lower()
    quick = api.chat.completions.create(
        model=tiny_chat, messages=MESSAGES, temperature=0, extra_body={"enable_thinking": False}
    )
    assert getattr(quick.choices[0].message, "reasoning_content", None) in (None, "")
    assert "blue whale" in (quick.choices[0].message.content or "").lower()
    chinese: list[Any] = [{"role": "user", "content": "最大的動物是什麼？"}]
    answer = api.chat.completions.create(model=tiny_chat, messages=chinese, temperature=0)
    assert "藍鯨" in (answer.choices[0].message.content or "")


def test_openai_streams(api: openai.Client, tiny_chat: str) -> None:
    chat = api.chat.completions.create(model=tiny_chat, messages=MESSAGES, temperature=0, stream=True)
    assert "blue whale" in "".join(chunk.choices[0].delta.content or "" for chunk in chat).lower()
    text = api.completions.create(model=tiny_chat, prompt=QUESTION, temperature=0, max_tokens=64, stream=True)
    assert "blue whale" in "".join(chunk.choices[0].text for chunk in text).lower()
    options: Any = {"include_usage": True}
    asked = api.chat.completions.create(
        model=tiny_chat, messages=MESSAGES, temperature=0, stream=True, stream_options=options
    )
    *_, last = list(asked)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens > 10


def test_models_list(api: openai.Client, tiny_chat: str) -> None:
    assert tiny_chat in [model.id for model in api.models.list()]


CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": name, "description": f"Get the current {of} of a city.", "parameters": CITY},
    }
    for name, of in (("get_weather", "weather"), ("get_time", "time"))
]
NO_THINKING = {"enable_thinking": False}


def asked(api: openai.Client, uid: str, question: str, **fields: Any) -> Any:
    """The one choice of an answer without thinking, or the choices of its stream."""
    messages: list[Any] = [{"role": "user", "content": question}]
    create: Any = api.chat.completions.create
    answer = create(model=uid, messages=messages, temperature=0, extra_body=NO_THINKING, **fields)
    return [chunk.choices[0] for chunk in answer] if fields.get("stream") else answer.choices[0]


def calls(message: Any) -> list[tuple[str, Any]]:
    """The tools that are called, with their arguments."""
    return [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []]


@pytest.mark.parametrize(
    ("question", "choice", "expected"),
    [
        ("What is the weather in Taipei?", "auto", [("get_weather", {"city": "Taipei"})]),
        ("What is the weather in Taipei?", "required", [("get_weather", {"city": "Taipei"})]),
        (
            "What is the weather in Taipei and Tokyo?",
            "auto",
            [("get_weather", {"city": "Taipei"}), ("get_weather", {"city": "Tokyo"})],
        ),
        ("What is the largest animal?", "auto", []),
    ],
    ids=["auto", "required", "parallel", "none needed"],
)
def test_tool_calls(api: openai.Client, tiny_chat: str, question: str, choice: Any, expected: list[Any]) -> None:
    answer = asked(api, tiny_chat, question, tools=TOOLS, tool_choice=choice)
    assert answer.finish_reason == ("tool_calls" if expected else "stop")
    assert calls(answer.message) == expected
    assert all(call.type == "function" and call.id for call in answer.message.tool_calls or [])
    *_, last = asked(api, tiny_chat, question, tools=TOOLS, tool_choice=choice, stream=True)
    assert (last.finish_reason, calls(last.delta)) == (answer.finish_reason, expected)


def test_tool_that_is_named_is_called(api: openai.Client, tiny_chat: str) -> None:
    """Whatever the question is about."""
    named = {"type": "function", "function": {"name": "get_time"}}
    answer = asked(api, tiny_chat, "What is the weather in Taipei?", tools=TOOLS, tool_choice=named)
    assert calls(answer.message) == [("get_time", {"city": "Taipei"})]


def test_one_tool_call_at_a_time(api: openai.Client, tiny_chat: str) -> None:
    question = "What is the weather in Taipei and Tokyo?"
    answer = asked(api, tiny_chat, question, tools=TOOLS, parallel_tool_calls=False)
    assert calls(answer.message) == [("get_weather", {"city": "Taipei"})]


def test_tool_s_result_is_put_in_words(api: openai.Client, tiny_chat: str) -> None:
    question: Any = {"role": "user", "content": "What is the weather in Taipei?"}
    call = asked(api, tiny_chat, question["content"], tools=TOOLS).message
    result: Any = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": '{"temperature": 21}'}
    answer = api.chat.completions.create(
        model=tiny_chat, messages=[question, call, result], tools=TOOLS, temperature=0, extra_body=NO_THINKING
    )
    assert "21" in (answer.choices[0].message.content or "")


ANIMAL: Any = {
    "type": "object",
    "properties": {"animal": {"enum": ["blue whale", "ant"]}},
    "required": ["animal"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("thinking", [True, False])
def test_answer_to_a_json_schema(api: openai.Client, tiny_chat: str, thinking: bool) -> None:
    """Thoughts are not constrained, and not part of what is."""
    answer = api.chat.completions.create(
        model=tiny_chat,
        messages=MESSAGES[1:],
        temperature=0,
        max_tokens=200,
        response_format={"type": "json_schema", "json_schema": {"name": "animal", "schema": ANIMAL, "strict": True}},
        extra_body={"enable_thinking": thinking},
    )
    message = answer.choices[0].message
    assert json.loads(message.content or "")["animal"] in ("blue whale", "ant")
    assert bool(getattr(message, "reasoning_content", None)) is thinking


def test_answer_that_is_some_json_object(api: openai.Client, tiny_chat: str) -> None:
    answer = asked(api, tiny_chat, QUESTION, response_format={"type": "json_object"}, max_tokens=500)
    assert answer.finish_reason == "length" or isinstance(json.loads(answer.message.content), dict)
    assert answer.message.content.lstrip().startswith("{")


def test_schema_that_is_none_is_refused(api: openai.Client, tiny_chat: str) -> None:
    wrong = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    for streams in (True, False):
        with pytest.raises(openai.BadRequestError, match="nonsense"):
            asked(api, tiny_chat, QUESTION, response_format=wrong, stream=streams)


def test_logprobs(api: openai.Client, tiny_chat: str) -> None:
    answer = asked(api, tiny_chat, QUESTION, logprobs=True, top_logprobs=2, max_tokens=4)
    tokens = answer.logprobs.content
    assert "".join(token.token for token in tokens) == answer.message.content
    assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in tokens)
    text = api.completions.create(model=tiny_chat, prompt=QUESTION, max_tokens=3, logprobs=1, temperature=0)
    assert text.choices[0].logprobs is not None
    assert len(text.choices[0].logprobs.tokens or []) == 3


def test_several_answers_to_one_question(api: openai.Client, tiny_chat: str) -> None:
    create: Any = api.chat.completions.create
    fields = {"model": tiny_chat, "messages": MESSAGES, "n": 3, "max_tokens": 8, "extra_body": NO_THINKING}
    whole = create(**fields)
    assert sorted(choice.index for choice in whole.choices) == [0, 1, 2]
    assert all(choice.message.content for choice in whole.choices)
    said = {0: "", 1: "", 2: ""}
    for chunk in create(**fields, stream=True):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content
    assert all(said.values())
    texts = api.completions.create(model=tiny_chat, prompt=QUESTION, n=2, max_tokens=4)
    assert [choice.index for choice in texts.choices] == [0, 1]


def test_same_seed_same_answer(api: openai.Client, tiny_chat: str) -> None:
    def story(seed: int) -> str:
        answer = api.completions.create(
            model=tiny_chat, prompt="Once upon", max_tokens=24, temperature=2, top_p=1, seed=seed
        )
        return answer.choices[0].text

    assert story(7) == story(7)
    assert len({story(seed) for seed in range(4)}) > 1


def test_stop(api: openai.Client, tiny_chat: str) -> None:
    answer = asked(api, tiny_chat, QUESTION, stop=["whale"])
    assert (answer.finish_reason, answer.stop_reason) == ("stop", "whale")
    assert answer.message.content.endswith("blue ")


@heavy
def test_streams_share_the_engine(cluster: RunningCluster, tiny_chat: str) -> None:
    """Continuous batching: two streams advance in turns, and the engine says that it runs more than one request."""
    order: list[int] = []
    address = requests.get(f"{cluster.endpoint}/v1/models/{tiny_chat}", timeout=10).json()["address"]

    def stream(number: int) -> None:
        body = {
            "model": tiny_chat,
            "prompt": "Once upon a time",
            "max_tokens": 2000,
            "stream": True,
            "ignore_eos": True,
        }
        with requests.post(f"{cluster.endpoint}/v1/completions", json=body, stream=True, timeout=60) as answer:
            assert answer.status_code == 200, answer.text
            order.extend(number for line in answer.iter_lines(chunk_size=4096) if line.startswith(b"data: "))

    with ThreadPoolExecutor(2) as pool:
        streams = [pool.submit(stream, number) for number in range(2)]
        running = wait_for(lambda: (n := requests_running(address)) > 1 and n, 20, "two requests running in the engine")
        for done in streams:
            done.result()
    assert running == 2
    turns = sum(a != b for a, b in itertools.pairwise(order))
    assert len(order) > 1000
    assert turns > 50, f"the streams took turns {turns} times in {len(order)} chunks"


def requests_running(address: str) -> float:
    text = requests.get(f"{address}/metrics", timeout=10).text
    lines = [line for line in text.splitlines() if line.startswith("vllm:num_requests_running")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


LONG_TEXT = {"prompt": "Once", "max_tokens": 4000, "ignore_eos": True}
LONG_RESPONSE = {"input": "Once", "max_output_tokens": 4000, "ignore_eos": True}
LONG_SCHEMA = {"type": "array", "items": {"enum": ["whale"]}, "minItems": 900}
LONG_MESSAGE = {
    "messages": MESSAGES[1:],
    "max_tokens": 4000,
    "thinking": {"type": "disabled"},
    "output_config": {"format": {"type": "json_schema", "schema": LONG_SCHEMA}},
}


@pytest.mark.parametrize(
    ("path", "long", "stream"),
    [
        ("completions", LONG_TEXT, True),
        ("completions", LONG_TEXT, False),
        ("responses", LONG_RESPONSE, True),
        ("messages", LONG_MESSAGE, True),
    ],
)
def test_leaving_aborts(cluster: RunningCluster, tiny_chat: str, path: str, long: dict[str, Any], stream: bool) -> None:
    """A client that leaves takes its request along within half a second, long before it would have been finished."""
    address = requests.get(f"{cluster.endpoint}/v1/models/{tiny_chat}", timeout=10).json()["address"]
    begun = tokens_generated(address, tiny_chat)
    body = {"model": tiny_chat, "stream": stream, **long}
    command = ["curl", "-sN", f"{cluster.endpoint}/v1/{path}", "-d", json.dumps(body)]
    leaver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_for(lambda: tokens_generated(address, tiny_chat) - begun > 20, 10, "the request at work in the engine")
    leaver.kill()
    leaver.wait()
    time.sleep(0.5)
    left = tokens_generated(address, tiny_chat)
    time.sleep(0.5)
    assert tokens_generated(address, tiny_chat) - left <= 2, "the engine goes on"
    assert left - begun < 2500, "it was finished, not aborted"


def tokens_generated(address: str, uid: str) -> float:
    """The engine's own count, which moves only while it works: so it is given one token to make."""
    body = {"model": uid, "prompt": "Hi", "max_tokens": 1}
    requests.post(f"{address}/v1/completions", json=body, timeout=10).raise_for_status()
    text = requests.get(f"{address}/metrics", timeout=10).text
    lines = [line for line in text.splitlines() if line.startswith("vllm:generation_tokens_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)
