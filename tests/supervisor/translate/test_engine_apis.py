"""What an engine gets of a request to the Responses or Messages API, or to the tokenizer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from supervisor.translate.engine_request import EngineRequest, build_engine_request, match_route, model_uid
from tests.supervisor.samples import ALWAYS, NEVER, ON_OFF, SWITCH, spec
from xinfer.errors import AbilityNotSupported, BadRequest, InvalidBody, ThinkingNotSupported
from xinfer.messages import BudgetParameter, EffortParameter, ModelSpec, ThinkingMode, ThinkingSwitch

RESPONSES, MESSAGES, COUNT, TOKENIZE = "/v1/responses", "/v1/messages", "/v1/messages/count_tokens", "/tokenize"
HELLO = [{"role": "user", "content": "hello"}]
CHATTING = {RESPONSES: {"input": "hello"}, MESSAGES: {"messages": HELLO, "max_tokens": 9}, COUNT: {"messages": HELLO}}


def prepared(path: str, body: dict[str, Any], of: ModelSpec | None = None) -> EngineRequest:
    raw = json.dumps(body, indent=1).encode()
    return build_engine_request(path, raw, json.loads(raw), of or spec())


def sent(path: str, body: dict[str, Any], thinking: ThinkingSwitch = SWITCH) -> dict[str, Any]:
    """``body`` as the engine of a model with such a switch gets it, without what every request of this kind has."""
    got = json.loads(prepared(path, body, spec(thinking=thinking)).body)
    return {name: value for name, value in got.items() if name not in CHATTING.get(path, {})}


@pytest.mark.parametrize(
    ("path", "at_the_engine"),
    [
        ("/v1/messages", "/v1/messages"),
        ("/anthropic/v1/messages", "/v1/messages"),
        ("/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"),
    ],
)
def test_every_name_of_a_route_leads_to_the_engine_s(path: str, at_the_engine: str) -> None:
    request = prepared(path, {"messages": HELLO, "stream": True, "max_tokens": 9})
    assert request.path == at_the_engine
    assert request.headers == {"content-type": "application/json"}
    assert json.loads(request.body) == {"messages": HELLO, "stream": True, "max_tokens": 9}


@pytest.mark.parametrize("path", ["/tokenize", "/v1/tokenize"])
def test_tokenize_goes_to_the_engine_s_path(path: str) -> None:
    assert prepared(path, {"prompt": "x"}).path == "/tokenize"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v1/tokenize", ("/v1/tokenize", None)),
        ("/v1/models/m.1/tokenize", ("/tokenize", "m.1")),
        ("/v1/models/m/detokenize", ("/detokenize", "m")),
        ("/v1/models/m/progress", None),
        ("/v1/models/a/b/tokenize", None),
        ("/v1/models//tokenize", None),
        ("/v1/models/m/tokenize/", None),
        ("/v1/models", None),
    ],
)
def test_a_path_may_name_the_model(path: str, target: tuple[str, str | None] | None) -> None:
    assert match_route(path) == target


def test_body_may_leave_the_model_to_the_path_and_not_contradict_it() -> None:
    assert model_uid({}, "m") == model_uid({"model": "m"}, "m") == model_uid({"model": None}, "m") == "m"
    for other in ("n", "", 1):
        with pytest.raises(InvalidBody):
            model_uid({"model": other}, "m")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (RESPONSES, {"input": "hello", "store": True, "stream": True, "metadata": {"a": "b"}, "top_p": 1e-7}),
        (RESPONSES, {"input": HELLO, "stream_options": {"include_obfuscation": False}, "stream": True}),
        (MESSAGES, {"messages": HELLO, "max_tokens": 9, "system": [{"type": "text", "text": "鯨"}], "top_k": 5}),
        (MESSAGES, {"messages": HELLO, "max_tokens": 9, "thinking": {"type": "perhaps"}}),
        (MESSAGES, {"messages": HELLO, "max_tokens": 9, "thinking": True, "output_config": 7}),
        (TOKENIZE, {"prompt": "", "return_token_strs": True}),
        (TOKENIZE, {"messages": HELLO, "add_generation_prompt": False}),
        ("/detokenize", {"tokens": []}),
    ],
)
def test_bytes_pass_untouched_where_nothing_has_to_change(path: str, body: dict[str, Any]) -> None:
    assert prepared(path, body).body == json.dumps(body, indent=1).encode()


@pytest.mark.parametrize("path", [RESPONSES, MESSAGES, COUNT])
def test_model_that_only_generates(path: str) -> None:
    with pytest.raises(AbilityNotSupported, match="/v1/completions"):
        prepared(path, CHATTING[path], spec(abilities=("generate",)))


def test_model_that_only_generates_has_a_tokenizer_and_no_template() -> None:
    assert prepared(TOKENIZE, {"prompt": "x"}, spec(abilities=("generate",))).path == TOKENIZE
    with pytest.raises(AbilityNotSupported):
        prepared(TOKENIZE, {"messages": HELLO}, spec(abilities=("generate",)))


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (MESSAGES, {"max_tokens": 9}, "messages"),
        (COUNT, {"messages": []}, "messages"),
        (TOKENIZE, {}, "prompt"),
        (TOKENIZE, {"prompt": ["a"]}, "prompt"),
        (TOKENIZE, {"prompt": None, "messages": None}, "messages"),
        (TOKENIZE, {"messages": [{}]}, "messages[0]"),
        ("/detokenize", {}, "tokens"),
        ("/v1/detokenize", {"tokens": "12"}, "tokens"),
    ],
)
def test_what_no_engine_has_to_see(path: str, body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidBody) as caught:
        prepared(path, body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "fields",
    [{"previous_response_id": "resp_1"}, {"conversation": {"id": "c"}}, {"prompt": {"id": "p"}}, {"background": True}],
)
def test_responses_that_need_a_memory_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        prepared(RESPONSES, {"input": "hello", **fields})
    assert caught.value.param == next(iter(fields))
    unset = {name: False if name == "background" else None for name in fields}
    assert prepared(RESPONSES, {"input": "hello", **unset}).path == RESPONSES


FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "web_search",
            "web_search_preview",
            "web_search_2025_08_26",
            "file_search",
            "code_interpreter",
            "computer_use",
        ),
        *("computer_use_preview", "image_generation", "mcp", "local_shell", "shell", "apply_patch", "x" * 500, "a\nb"),
    ],
)
def test_tool_that_openai_runs_is_refused_by_its_type(kind: str) -> None:
    with pytest.raises(BadRequest) as caught:
        prepared(RESPONSES, {"input": "hello", "tools": [FUNCTION, {"type": kind}]})
    assert caught.value.param == "tools[1]"
    assert repr(kind[:100]) in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "tools",
    [
        None,
        [],
        [FUNCTION, {"type": "custom", "name": "c"}, {"type": "namespace", "name": "n", "tools": [FUNCTION]}],
        "junk",
        [7, {}, {"type": None}, {"type": 7}],
    ],
)
def test_tools_that_the_client_runs_and_junk_reach_the_engine(tools: Any) -> None:
    assert sent(RESPONSES, {"input": "hello", "tools": tools}) == ({} if tools is None else {"tools": tools})


def test_engine_with_a_tool_server_gets_its_tools() -> None:
    body = {"input": "hello", "tools": [{"type": "web_search_preview"}]}
    assert json.loads(prepared(RESPONSES, body, spec(engine_args={"tool_server": "demo"})).body) == body


def test_reference_to_an_item_is_refused_with_what_to_do() -> None:
    items = [*HELLO, {"type": "item_reference", "id": "msg_1"}]
    with pytest.raises(BadRequest, match="'store': false") as caught:
        prepared(RESPONSES, {"input": items})
    assert caught.value.param == "input[1]"


ON, OFF = {"enable_thinking": True}, {"enable_thinking": False}
LOW = {"effort": "low", "summary": "auto"}


@pytest.mark.parametrize(
    ("reasoning", "thinking", "template"),
    [
        ({"effort": "none"}, SWITCH, OFF),
        ({"effort": "none"}, ON_OFF, {**OFF, "thinking_mode": "off"}),
        (LOW, ON_OFF, {**ON, "thinking_mode": "on"}),
        (LOW, ALWAYS, None),
        ({"summary": "auto"}, NEVER, None),
        ({"effort": None}, NEVER, None),
    ],
)
def test_effort_of_a_response_is_the_family_s_switch(
    reasoning: Any, thinking: ThinkingSwitch, template: dict[str, Any] | None
) -> None:
    """And stays where it was, since the response shows it."""
    got = sent(RESPONSES, {"input": "hello", "reasoning": reasoning}, thinking)
    assert got == {"reasoning": reasoning} | ({"chat_template_kwargs": template} if template else {})


@pytest.mark.parametrize("path", [RESPONSES, MESSAGES, COUNT, TOKENIZE])
def test_the_switch_of_a_chat_is_one_here_too(path: str) -> None:
    body = {"messages": HELLO, "enable_thinking": False} if path == TOKENIZE else {**CHATTING[path], **OFF}
    assert json.loads(prepared(path, body, spec(thinking=ON_OFF)).body)["chat_template_kwargs"] == {
        **OFF,
        "thinking_mode": "off",
    }
    with pytest.raises(ThinkingNotSupported):
        prepared(path, body, spec(thinking=ALWAYS))


@pytest.mark.parametrize(
    ("fields", "thinking", "expected"),
    [
        ({"thinking": {"type": "disabled"}}, ON_OFF, {"chat_template_kwargs": {**OFF, "thinking_mode": "off"}}),
        ({"thinking": {"type": "disabled"}}, NEVER, {}),
        ({"thinking": {"type": "adaptive"}}, ON_OFF, {"chat_template_kwargs": {**ON, "thinking_mode": "on"}}),
        ({"thinking": {"type": "adaptive"}}, NEVER, {}),
        ({"thinking": {"type": "adaptive"}}, ALWAYS, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, SWITCH, {"chat_template_kwargs": ON}),
        ({"thinking": {"type": "disabled"}, "enable_thinking": True}, SWITCH, {"chat_template_kwargs": ON}),
        ({"output_config": {"effort": "low"}}, NEVER, {"output_config": {}}),
        ({"output_config": {"effort": "low"}}, SWITCH, {"output_config": {}, "chat_template_kwargs": ON}),
        (
            {"output_config": {"effort": "high"}, "thinking": {"type": "disabled"}},
            SWITCH,
            {"output_config": {}, "chat_template_kwargs": OFF},
        ),
    ],
)
@pytest.mark.parametrize("path", [MESSAGES, COUNT])
def test_anthropic_s_thinking_is_the_family_s_switch(
    path: str, fields: dict[str, Any], thinking: ThinkingSwitch, expected: dict[str, Any]
) -> None:
    got = sent(path, {**CHATTING[path], **fields}, thinking)
    if fields.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        expected = {**expected, "thinking": fields["thinking"]}
    assert got == expected


@pytest.mark.parametrize(
    ("kind", "thinking"), [({"type": "enabled", "budget_tokens": 1024}, NEVER), ({"type": "disabled"}, ALWAYS)]
)
def test_thinking_that_the_family_cannot_do(kind: dict[str, Any], thinking: ThinkingSwitch) -> None:
    with pytest.raises(ThinkingNotSupported):
        sent(MESSAGES, {**CHATTING[MESSAGES], "thinking": kind}, thinking)


DEGREES = ThinkingSwitch(ThinkingMode.ALWAYS, effort=EffortParameter("reasoning_effort", ("low", "medium", "high")))
BY_EFFORT = ThinkingSwitch(ThinkingMode.SWITCH, ("reasoning_effort",), "high", "none", False)
COUNTED = ThinkingSwitch(ThinkingMode.SWITCH, budget=BudgetParameter("thinking_budget"))


@pytest.mark.parametrize(
    ("path", "fields", "thinking", "expected"),
    [
        (RESPONSES, {"reasoning": LOW}, DEGREES, {"reasoning": LOW}),
        (RESPONSES, {"reasoning_effort": "low"}, DEGREES, {"reasoning": {"effort": "low"}}),
        (MESSAGES, {"output_config": {"effort": "low"}}, DEGREES, {"output_config": {"effort": "low"}}),
        (TOKENIZE, {"reasoning_effort": "low"}, DEGREES, {"chat_template_kwargs": {"reasoning_effort": "low"}}),
        (RESPONSES, {"enable_thinking": False}, BY_EFFORT, {"reasoning": {"effort": "none"}}),
        (MESSAGES, {"enable_thinking": False}, BY_EFFORT, {"thinking": {"type": "disabled"}}),
        (MESSAGES, {"enable_thinking": True}, BY_EFFORT, {"output_config": {"effort": "high"}}),
        (MESSAGES, {"thinking_budget": 50}, SWITCH, {}),
    ],
)
def test_what_the_engine_reads_itself_goes_where_it_reads_it(
    path: str, fields: dict[str, Any], thinking: ThinkingSwitch, expected: dict[str, Any]
) -> None:
    base = {"messages": HELLO} if path == TOKENIZE else CHATTING[path]
    got = sent(path, {**base, **fields}, thinking)
    got.pop("messages", None)
    assert got == expected


def test_budget_of_a_message_reaches_a_template_that_reads_one() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    got = sent(MESSAGES, {**CHATTING[MESSAGES], "thinking": thinking}, COUNTED)
    assert got["chat_template_kwargs"]["thinking_budget"] == 1024
    assert got["thinking"] == thinking


def test_budget_of_a_response_has_nobody_to_keep_to_it() -> None:
    with pytest.raises(BadRequest, match="not of responses") as caught:
        sent(RESPONSES, {"input": "hello", "thinking_budget": 50})
    assert caught.value.param == "thinking_budget"
