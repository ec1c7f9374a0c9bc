"""What an engine gets of a request."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.translate.engine_request import DATA_PLANE, EngineRequest, build_engine_request, model_uid
from tests.supervisor.samples import spec
from xinfer.errors import AbilityNotSupported, BadRequest, InvalidBody
from xinfer.messages import ModelSpec
from xinfer.wire.paths import CHAT, COMPLETIONS

HELLO = [{"role": "user", "content": "hello"}]


def prepared(path: str, body: dict[str, Any], of: ModelSpec | None = None) -> EngineRequest:
    raw = json.dumps(body, indent=1).encode()
    return build_engine_request(path, raw, json.loads(raw), of or spec())


def passed_untouched(path: str, body: dict[str, Any], of: ModelSpec | None = None) -> bool:
    return prepared(path, body, of).body == json.dumps(body, indent=1).encode()


@pytest.mark.parametrize("body", [{}, {"model": None}, {"model": ""}, {"model": 1}, {"model": ["m"]}])
def test_a_model_has_to_be_named(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidBody) as caught:
        model_uid(body)
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": HELLO, "top_k": -1, "n": 2, "min_p": 0.1, "logit_bias": {"1": 2}, "unknown": [None, 1e-7]}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "鯨"}]}], "stream": False}),
        (CHAT, {"messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}),
        (CHAT, {"messages": HELLO, "stream": True, "stream_options": {"include_usage": False}}),
        (COMPLETIONS, {"prompt": "hello", "enable_thinking": "whatever"}),
        (COMPLETIONS, {"prompt": ["a", "b"]}),
        (COMPLETIONS, {"prompt": [1, 2, 3]}),
        (COMPLETIONS, {"prompt": "x", "stream": True, "stream_options": {"include_usage": True}}),
        (COMPLETIONS, {"prompt": "x", "stream": True, "stream_options": {"include_usage": False}}),
    ],
)
def test_bytes_pass_untouched_where_nothing_has_to_change(path: str, body: dict[str, Any]) -> None:
    assert passed_untouched(path, body)
    assert prepared(path, body).headers == {"content-type": "application/json"}


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("options", [None, {}, {"include_usage": None, "other": 1}])
def test_usage_is_merged_unless_the_caller_says_whether_it_wants_a_chunk_of_its_own(path: str, options: Any) -> None:
    body = {"messages": HELLO, "prompt": "p", "stream": True, "stream_options": options, "top_k": -1}
    request = prepared(path, body)
    assert request.streams
    assert request.headers["x-xinfer-usage"] == "merged"
    assert json.loads(request.body) == {**body, "stream_options": {**(options or {}), "include_usage": True}}


def test_junk_in_stream_options_is_the_engine_s_to_refuse() -> None:
    assert passed_untouched(CHAT, {"messages": HELLO, "stream": True, "stream_options": "junk"})


def test_switch_changes_the_body_and_nothing_else() -> None:
    body = {"messages": HELLO, "enable_thinking": False, "seed": 2**70, "temperature": 0.1}
    got = json.loads(prepared(CHAT, body).body)
    del body["enable_thinking"]
    assert got == {**body, "chat_template_kwargs": {"enable_thinking": False}}


def test_chat_of_a_model_that_only_generates() -> None:
    with pytest.raises(AbilityNotSupported, match="/v1/completions") as caught:
        prepared(CHAT, {"messages": HELLO}, spec(abilities=("generate",)))
    assert caught.value.status == 400


def test_a_chat_model_generates_too() -> None:
    assert passed_untouched(COMPLETIONS, {"prompt": "p"}, spec(abilities=("chat",)))


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (None, "messages"),
        ([], "messages"),
        ("hello", "messages"),
        ({"role": "user"}, "messages"),
        (["hello"], "messages[0]"),
        ([None], "messages[0]"),
        ([*HELLO, {"content": "x"}], "messages[1]"),
        ([*HELLO, {"role": None}], "messages[1]"),
        ([*HELLO, {"role": 1}], "messages[1]"),
    ],
)
def test_messages_that_are_none(messages: Any, param: str) -> None:
    with pytest.raises(InvalidBody) as caught:
        prepared(CHAT, {"messages": messages})
    assert caught.value.param == param


@pytest.mark.parametrize("body", [{}, {"prompt": None}, {"prompt": ""}, {"prompt": []}])
def test_prompt_that_is_none(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidBody) as caught:
        prepared(COMPLETIONS, body)
    assert caught.value.param == "prompt"


NAMES = st.sampled_from(
    [
        "messages",
        "prompt",
        "stream",
        "stream_options",
        "enable_thinking",
        "extra_body",
        "chat_template_kwargs",
        "input",
        "reasoning",
        "effort",
        "thinking",
        "type",
        "budget_tokens",
        "output_config",
        "tokens",
        "reasoning_effort",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(sorted(DATA_PLANE)), st.dictionaries(NAMES, VALUES))
def test_any_object_is_prepared_or_refused(path: str, body: dict[str, Any]) -> None:
    request = None
    with contextlib.suppress(BadRequest):
        request = prepared(path, body)
    assert request is None or isinstance(json.loads(request.body), dict)
