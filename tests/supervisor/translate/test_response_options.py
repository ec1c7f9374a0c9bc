"""How a request wants its answer, as the engine's middleware is told in headers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from supervisor.translate.engine_request import build_engine_request
from tests.supervisor.samples import spec
from worker.middleware.choice import shape_of
from xinfer.errors import InvalidBody
from xinfer.messages import ModelSpec, ReasoningOutput, ThinkingMode, ThinkingSwitch
from xinfer.wire.paths import CHAT, COMPLETIONS
from xinfer.wire.response_options import ResponseOptions

TAGS = ThinkingSwitch(ThinkingMode.ALWAYS, start_tag='<|"é|>', end_tag="</t>\n")


def asked(of: ModelSpec | None = None, path: str = CHAT, **fields: Any) -> tuple[dict[str, Any], ResponseOptions]:
    """The body that the engine gets beside the question, and what the middleware reads in the headers."""
    question = {"messages": [{"role": "user", "content": "hi"}]} if path == CHAT else {"prompt": "hi"}
    raw = json.dumps({**question, **fields}).encode()
    request = build_engine_request(path, raw, json.loads(raw), of or spec())
    body = {name: value for name, value in json.loads(request.body).items() if name not in question}
    return body, ResponseOptions.from_headers(
        (name.encode(), value.encode()) for name, value in request.headers.items()
    )


def shape(of: ModelSpec | None = None, **fields: Any) -> ReasoningOutput:
    """Which of the three ways the reasoning goes; nothing of how it was asked may be left for vLLM."""
    body, options = asked(of, **fields)
    assert body == {}
    return options.reasoning


def launched(output: ReasoningOutput) -> ModelSpec:
    return spec(reasoning_output=output)


@pytest.mark.parametrize(
    ("fields", "split", "inline", "omit"),
    [
        ({}, ReasoningOutput.SPLIT, ReasoningOutput.INLINE, ReasoningOutput.OMIT),
        (
            {"include_reasoning": None, "reasoning_content": None},
            ReasoningOutput.SPLIT,
            ReasoningOutput.INLINE,
            ReasoningOutput.OMIT,
        ),
        ({"include_reasoning": False}, ReasoningOutput.OMIT, ReasoningOutput.OMIT, ReasoningOutput.OMIT),
        (
            {"include_reasoning": False, "reasoning_content": True},
            ReasoningOutput.OMIT,
            ReasoningOutput.OMIT,
            ReasoningOutput.OMIT,
        ),
        ({"include_reasoning": True}, ReasoningOutput.SPLIT, ReasoningOutput.INLINE, ReasoningOutput.SPLIT),
        ({"reasoning_content": True}, ReasoningOutput.SPLIT, ReasoningOutput.SPLIT, ReasoningOutput.SPLIT),
        ({"reasoning_content": False}, ReasoningOutput.INLINE, ReasoningOutput.INLINE, ReasoningOutput.INLINE),
        (
            {"extra_body": {"reasoning_content": False}},
            ReasoningOutput.INLINE,
            ReasoningOutput.INLINE,
            ReasoningOutput.INLINE,
        ),
    ],
)
def test_reasoning(
    fields: dict[str, Any], split: ReasoningOutput, inline: ReasoningOutput, omit: ReasoningOutput
) -> None:
    assert shape(launched(ReasoningOutput.SPLIT), **fields) is split
    assert shape(launched(ReasoningOutput.INLINE), **fields) is inline
    assert shape(launched(ReasoningOutput.OMIT), **fields) is omit


def test_tags_of_the_family_arrive_as_they_are() -> None:
    _, options = asked(spec(thinking=TAGS), reasoning_content=False)
    message = {"reasoning": "hm", "content": "yes"}
    shape_of(options).message(message, {})
    assert message == {"content": '<|"é|>hm</t>\nyes'}


@pytest.mark.parametrize("field", ["include_reasoning", "reasoning_content"])
@pytest.mark.parametrize("junk", ["false", 0, []])
def test_junk_is_refused(field: str, junk: Any) -> None:
    with pytest.raises(InvalidBody, match=f"{field} has to be true or false") as caught:
        asked(**{field: junk})
    assert caught.value.param == field


def test_tool_calls_whole_unless_asked_otherwise() -> None:
    assert asked(stream=True)[1].whole_tool_calls
    assert asked(stream=True, stream_options={"incremental_tool_calls": False})[1].whole_tool_calls
    body, options = asked(stream=True, stream_options={"incremental_tool_calls": True})
    assert not options.whole_tool_calls
    assert options.merge_usage
    assert body == {"stream": True, "stream_options": {"include_usage": True}}
    body, options = asked(stream=True, stream_options={"incremental_tool_calls": True, "include_usage": True})
    assert (options.whole_tool_calls, options.merge_usage) == (False, False)
    assert body == {"stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("request_id", ["mine", "a/b c", "鯨\r\nx: y", "%41"])
def test_request_id_arrives_as_it_is_and_stays_vllm_s(path: str, request_id: str) -> None:
    body, options = asked(path=path, request_id=request_id)
    assert options.request_id == request_id
    assert body == {"request_id": request_id}


def test_request_id_that_is_no_text_is_vllm_s_to_refuse() -> None:
    assert asked(request_id=7)[1].request_id is None
