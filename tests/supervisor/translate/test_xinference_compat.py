"""Xinference's fields in vLLM's words, as a request's body has them when the engine gets it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from supervisor.translate.engine_request import build_engine_request
from supervisor.translate.xinference_compat import translate_xinference_fields
from tests.supervisor.samples import NEVER, spec
from xinfer.errors import AbilityNotSupported, InvalidBody
from xinfer.wire.paths import CHAT, COMPLETIONS

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def engine(path: str = CHAT, **fields: Any) -> dict[str, Any]:
    """What the engine gets beside the question."""
    question = HELLO if path == CHAT else {"prompt": "hello"}
    raw = json.dumps({**question, **fields}).encode()
    body: dict[str, Any] = json.loads(build_engine_request(path, raw, json.loads(raw), spec()).body)
    return {name: value for name, value in body.items() if name not in question}


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"guided_json": SCHEMA}, {"json": SCHEMA}),
        ({"guided_json": json.dumps(SCHEMA)}, {"json": json.dumps(SCHEMA)}),
        ({"guided_regex": "[ab]+"}, {"regex": "[ab]+"}),
        ({"guided_choice": ["a", "b"]}, {"choice": ["a", "b"]}),
        ({"guided_grammar": 'root ::= "a"'}, {"grammar": 'root ::= "a"'}),
        ({"guided_json_object": True}, {"json_object": True}),
        ({"guided_json": SCHEMA, "guided_whitespace_pattern": " "}, {"json": SCHEMA, "whitespace_pattern": " "}),
        ({"guided_regex": "a", "guided_decoding_backend": "outlines"}, {"regex": "a"}),
        ({"guided_regex": "a", "guided_json": None, "guided_json_object": False}, {"regex": "a"}),
    ],
)
def test_constraints(path: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    assert engine(path, **theirs) == {"structured_outputs": ours}
    assert engine(path, extra_body=theirs) == {"structured_outputs": ours}


def test_nothing_is_asked_by_what_is_unset() -> None:
    assert engine(guided_json=None, guided_json_object=False, guided_decoding_backend="outlines") == {}


def test_vllm_s_own_field_wins() -> None:
    own = {"regex": "a", "disable_any_whitespace": True}
    assert engine(structured_outputs=own, guided_regex="b") == {"structured_outputs": own}
    with pytest.raises(InvalidBody, match="structured_outputs"):
        engine(structured_outputs="a", guided_regex="b")


def test_extra_body_is_what_the_sdk_would_have_merged() -> None:
    extra = {"top_k": 3, "temperature": 0.5, "seed": 1, "extra_body": {"x": 1}, "unknown": {"a": 1}}
    assert engine(temperature=0, seed=None, extra_body=extra) == {
        "temperature": 0,
        "seed": 1,
        "top_k": 3,
        "unknown": {"a": 1},
    }


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"extra_body": {"enable_thinking": False}}, False),
        ({"enable_thinking": None, "extra_body": {"enable_thinking": False}}, False),
        ({"enable_thinking": True, "extra_body": {"enable_thinking": False}}, True),
        ({"extra_body": {"enable_thinking": True}, "chat_template_kwargs": {"enable_thinking": False}}, True),
        ({"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}, False),
    ],
)
def test_thinking_switch_in_extra_body(body: dict[str, Any], told: bool) -> None:
    assert engine(**body) == {"chat_template_kwargs": {"enable_thinking": told}}


@pytest.mark.parametrize("junk", ["x", 1, [], True])
def test_extra_body_that_is_no_object(junk: Any) -> None:
    with pytest.raises(InvalidBody, match="extra_body has to be"):
        engine(extra_body=junk)


def test_stream_in_extra_body_counts() -> None:
    assert engine(extra_body={"stream": True})["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_nulls_say_nothing(path: str) -> None:
    nulls = dict.fromkeys(("request_id", "echo", "stop", "tools", "tool_choice", "ignore_eos", "unknown", "lora_name"))
    assert engine(path, **nulls, n=1, logit_bias={"5": None}) == {"n": 1, "logit_bias": {"5": None}}


def test_a_null_that_the_route_needs_is_still_refused() -> None:
    for path, field in ((CHAT, "messages"), (COMPLETIONS, "prompt")):
        with pytest.raises(InvalidBody) as caught:
            engine(path, **{field: None})
        assert caught.value.param == field


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_adapters_are_refused(path: str) -> None:
    with pytest.raises(AbilityNotSupported, match="LoRA") as caught:
        engine(path, lora_name="mine")
    assert caught.value.param == "lora_name"


def test_longest_answer_by_either_name() -> None:
    assert engine(COMPLETIONS, max_completion_tokens=3, max_tokens=9) == {"max_tokens": 3}
    both = {"max_completion_tokens": 3, "max_tokens": 9}
    assert engine(CHAT, **both) == both  # vLLM's chat knows which wins


def test_what_vllm_has_passes() -> None:
    fields = {
        "stop_token_ids": [1],
        "ignore_eos": True,
        "repetition_penalty": 1.1,
        "top_k": -1,
        "min_p": 0.1,
        "logit_bias": {"5": 1},
        "echo": False,
        "stream_interval": 4,
        "cache_salt": "s",
        "mm_processor_kwargs": {},
    }
    assert engine(**fields) == fields


def test_constraint_that_vllm_would_ignore_is_refused() -> None:
    """It waits for the end of the reasoning, which a text completion has only in its prompt."""
    thinks = spec(reasoning_parser="qwen3")
    for field in (
        {"guided_regex": "a"},
        {"structured_outputs": {"regex": "a"}},
        {"response_format": {"type": "json_object"}},
    ):
        with pytest.raises(AbilityNotSupported, match="/v1/chat/completions"):
            build_engine_request(COMPLETIONS, b"", {"prompt": "hello", **field}, thinks)
        build_engine_request(COMPLETIONS, b"", {"prompt": "hello<think>\n\n</think>\n\n", **field}, thinks)
        build_engine_request(COMPLETIONS, b"", {"prompt": [1, 2], **field}, thinks)
        build_engine_request(
            COMPLETIONS, b"", {"prompt": "hello", **field}, spec(thinking=NEVER, reasoning_parser="qwen3")
        )
        build_engine_request(COMPLETIONS, b"", {"prompt": "hello", **field}, spec())
        build_engine_request(CHAT, b"", {**HELLO, **field}, thinks)
    build_engine_request(COMPLETIONS, b"", {"prompt": "hello", "response_format": {"type": "text"}}, thinks)


def test_nothing_is_done_for_who_uses_none_of_it() -> None:
    body = {**HELLO, "temperature": 0, "tools": [{}], "max_completion_tokens": 5}
    before = dict(body)
    translate_xinference_fields(body, chat=True)
    assert body == before
