"""The fields of a request that say how its response is wanted: where the reasoning goes, whole tool calls, its id."""

from __future__ import annotations

from typing import Any

from xinfer.errors import InvalidBody
from xinfer.messages import ModelSpec, ReasoningOutput
from xinfer.wire.response_options import ResponseOptions

_INCLUDE = "include_reasoning"
_SPLIT = "reasoning_content"
_STREAM_OPTIONS = "stream_options"
_ID = "request_id"
_INCREMENTAL = "incremental_tool_calls"
_FIELDS = frozenset({_INCLUDE, _SPLIT, _STREAM_OPTIONS, _ID})


def take_response_options(body: dict[str, Any], spec: ModelSpec, *, merge_usage: bool) -> ResponseOptions:
    """The options of ``body``, which keeps only what vLLM understands of them."""
    if spec.reasoning_output is ReasoningOutput.SPLIT and body.keys().isdisjoint(_FIELDS):
        return ResponseOptions(merge_usage=merge_usage)

    request_id = body.get(_ID)
    if not isinstance(request_id, str):
        request_id = None
    return ResponseOptions(
        merge_usage=merge_usage,
        whole_tool_calls=not _take_incremental(body),
        reasoning=_take_reasoning(body, spec),
        tags=(spec.thinking.start_tag, spec.thinking.end_tag),
        request_id=request_id,
    )


def _take_reasoning(body: dict[str, Any], spec: ModelSpec) -> ReasoningOutput:
    """``include_reasoning``, then ``reasoning_content``, then the launch option."""
    # vLLM must not see the first: with it, vLLM constrains a structured response from the first thought on and loses it.
    include = _take_flag(body, _INCLUDE)
    split = _take_flag(body, _SPLIT)
    if include is False:
        return ReasoningOutput.OMIT
    if split is True:
        return ReasoningOutput.SPLIT
    if split is False:
        return ReasoningOutput.INLINE
    if include and spec.reasoning_output is ReasoningOutput.OMIT:
        return ReasoningOutput.SPLIT
    return spec.reasoning_output


def _take_incremental(body: dict[str, Any]) -> bool:
    options = body.get(_STREAM_OPTIONS)
    if not isinstance(options, dict) or _INCREMENTAL not in options:
        return False

    # A new object: whether a body has changed is seen by its fields' identity.
    body[_STREAM_OPTIONS] = {name: value for name, value in options.items() if name != _INCREMENTAL}
    return bool(options[_INCREMENTAL])


def _take_flag(body: dict[str, Any], name: str) -> bool | None:
    value = body.pop(name, None)
    if value is not None and not isinstance(value, bool):
        raise InvalidBody(f"{name} has to be true or false.", param=name)
    return value
