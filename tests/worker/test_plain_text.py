"""The short ways of streamed chats: what vLLM writes and says on its own, and what it does with them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.conftest import ROOT
from worker.vllm_patches import plain_text

serving: Any = pytest.importorskip("vllm.entrypoints.openai.chat_completion.serving")
protocol: Any = pytest.importorskip("vllm.entrypoints.generate.base.protocol")
parsers: Any = pytest.importorskip("vllm.parser.abstract_parser")

FOLDER = str(ROOT / "xinfer" / "tiny_chat" / "model")
EVERY_CHARACTER = "".join(chr(code) for code in itertools.chain(range(0xD800), range(0xE000, 0x3_0000)))


@pytest.fixture
def chunk_classes(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[Any]]:
    """vLLM's class of a choice and of a chunk, and what stands in for them."""
    names = ("ChatCompletionResponseStreamChoice", "ChatCompletionStreamResponse")
    plain = [getattr(serving, name) for name in names]
    for name, value in zip(names, plain, strict=True):
        monkeypatch.setattr(serving, name, value)
    plain_text.write_plain_chunks()
    return plain, [getattr(serving, name) for name in names]


def written(classes: list[Any], delta: dict[str, Any], choice: dict[str, Any], later: dict[str, Any]) -> str:
    """As ``chat_completion_stream_generator`` makes a chunk."""
    make_choice, make_chunk = classes
    fields = {"index": 0, "logprobs": None, "finish_reason": None, "token_ids": None, **choice}
    made = make_choice(delta=protocol.DeltaMessage(**delta), **fields)
    chunk = make_chunk(
        id='chatcmpl-"1"', object="chat.completion.chunk", created=1795875956, choices=[made], model="tiny/chat"
    )
    for name, value in later.items():
        setattr(chunk, name, value)
    text: str = chunk.model_dump_json(exclude_unset=True)
    return text


CALL = {"index": 0, "id": "call-1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("delta", "choice", "later", "is_plain"),
    [
        ({"content": " word"}, {}, {}, True),
        ({"reasoning": "hm\n"}, {}, {}, True),
        ({"content": ""}, {"index": 3}, {}, True),
        ({"content": EVERY_CHARACTER}, {}, {}, True),
        ({"content": "a"}, {}, {"usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}, True),
        ({"content": "a"}, {}, {"system_fingerprint": "vllm"}, True),
        ({"content": None}, {}, {}, False),
        ({}, {}, {}, False),
        ({"role": "assistant", "content": ""}, {}, {}, False),
        ({"content": "a", "reasoning": "b"}, {}, {}, False),
        ({"tool_calls": [CALL]}, {}, {}, False),
        ({"content": "a"}, {"finish_reason": "stop", "stop_reason": None}, {}, False),
        ({"content": "a"}, {"token_ids": [1, 2]}, {}, False),
        ({"content": "a"}, {"logprobs": {"content": []}}, {}, False),
    ],
)
def test_chunks_are_the_same_bytes(
    chunk_classes: tuple[list[Any], list[Any]],
    delta: dict[str, Any],
    choice: dict[str, Any],
    later: dict[str, Any],
    is_plain: bool,
) -> None:
    plain, short = chunk_classes
    if "usage" in later:
        later = {"usage": protocol.UsageInfo(**later["usage"])}
    assert written(short, delta, choice, later) == written(plain, delta, choice, later)
    fields = {"index": 0, "logprobs": None, "finish_reason": None, "token_ids": None, **choice}
    made = short[0](delta=protocol.DeltaMessage(**delta), **fields)
    assert isinstance(made, plain_text.PlainChoice) == is_plain


def test_one_tool_call_at_a_time_leaves_text_alone(chunk_classes: tuple[list[Any], list[Any]]) -> None:
    from vllm.entrypoints.serve.utils.tool_calls_utils import maybe_filter_parallel_tool_calls

    request: Any = chat(parallel_tool_calls=False)
    _, (make_choice, _) = chunk_classes
    delta = protocol.DeltaMessage(content="a")
    choice = make_choice(index=0, delta=delta, logprobs=None, finish_reason=None, token_ids=None)
    assert maybe_filter_parallel_tool_calls(choice, request) is choice


def chat(**fields: Any) -> Any:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    return ChatCompletionRequest(model="m", messages=[{"role": "user", "content": "Hi"}], **fields)


WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("reasoning", "tools"), [("qwen3", "hermes"), ("qwen3", None), (None, "hermes"), ("deepseek_r1", "hermes")]
)
@pytest.mark.parametrize("fields", [{}, {"tools": [WEATHER]}, {"tools": [WEATHER], "tool_choice": "none"}])
@pytest.mark.parametrize("include_reasoning", [True, False])
@pytest.mark.parametrize(
    "said",
    [
        "<think>\nLet me see.\n</think>\n\nIt is a whale, and <b>large</b>.",
        "It is a whale.",
        '<think>hm</think><tool_call>\n{"name": "weather", "arguments": {"city": "Taipei"}}\n</tool_call>',
        "<think>never ends",
    ],
)
def test_deltas_are_parsed_to_the_same(
    monkeypatch: pytest.MonkeyPatch,
    reasoning: str | None,
    tools: str | None,
    fields: dict[str, Any],
    include_reasoning: bool,
    said: str,
) -> None:
    from vllm.parser.parser_manager import ParserManager
    from vllm.tokenizers import get_tokenizer

    tokenizer = get_tokenizer(FOLDER)
    parser_class: Any = ParserManager.get_parser(
        tool_parser_name=tools, reasoning_parser_name=reasoning, enable_auto_tools=tools is not None, model_name="m"
    )
    request = chat(include_reasoning=include_reasoning, **fields)
    prompt = tokenizer.encode("Hi", add_special_tokens=False)
    pieces = [(token, tokenizer.decode([token])) for token in tokenizer.encode(said, add_special_tokens=False)]

    def parsed() -> list[Any]:
        parser = parser_class(tokenizer, request.tools)
        found = []
        for number, (token, text) in enumerate(pieces):
            delta = parser.parse_delta(text, [token], request, prompt, finished=number == len(pieces) - 1)
            # Ids of calls are random.
            found.append(delta and delta.model_dump(exclude={"tool_calls": {"__all__": {"id"}}}))
        return found

    plain = parsed()
    monkeypatch.setattr(parsers.DelegatingParser, "parse_delta", parsers.DelegatingParser.parse_delta)
    plain_text.parse_no_plain_text()
    assert parsed() == plain


def test_another_version_of_vllm_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import vllm

    monkeypatch.setattr(vllm, "__version__", "0.33.0")
    before = (serving.ChatCompletionStreamResponse, parsers.DelegatingParser.parse_delta)
    plain_text.take_short_ways()
    assert (serving.ChatCompletionStreamResponse, parsers.DelegatingParser.parse_delta) == before
