"""How a request wants its answer: where the reasoning goes, tool calls whole or bit by bit, under which id.

The engine's middleware sees to it and never reads a body, so it is told in headers.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from xinfer.errors import InvalidBody
from xinfer.messages import ModelSpec, ReasoningOutput
from xinfer.wire.paths import INCREMENTAL, OMIT, REASONING_HEADER, REQUEST_ID_HEADER, TOOL_CALLS_HEADER

_INCLUDE = "include_reasoning"
_SPLIT = "reasoning_content"
_OPTIONS = "stream_options"
_ID = "request_id"
_INCREMENTAL = "incremental_tool_calls"
_FIELDS = frozenset({_INCLUDE, _SPLIT, _OPTIONS, _ID})


def apply_delivery(body: dict[str, Any], spec: ModelSpec, headers: dict[str, str]) -> bool:
    """Move what is the middleware's from ``body`` to ``headers``, both in place; returns whether ``body`` changed."""
    if spec.reasoning_output is ReasoningOutput.SPLIT and body.keys().isdisjoint(_FIELDS):
        return False
    before = len(body)
    _tell_reasoning(_reasoning(body, spec), spec, headers)
    if isinstance(request_id := body.get(_ID), str):
        headers[REQUEST_ID_HEADER.decode()] = quote(request_id, safe="")
    return _take_incremental(body, headers) or len(body) != before


def _reasoning(body: dict[str, Any], spec: ModelSpec) -> ReasoningOutput:
    """``include_reasoning``, then ``reasoning_content``, then the launch option.

    The first is not left to vLLM: with it, vLLM constrains a structured answer from the first thought on and loses it.
    """
    include = _flag(body, _INCLUDE)
    split = _flag(body, _SPLIT)
    if include is False:
        return ReasoningOutput.OMIT
    if split is not None:
        if split:
            return ReasoningOutput.SPLIT
        return ReasoningOutput.INLINE
    if include and spec.reasoning_output is ReasoningOutput.OMIT:
        return ReasoningOutput.SPLIT
    return spec.reasoning_output


def _tell_reasoning(output: ReasoningOutput, spec: ModelSpec, headers: dict[str, str]) -> None:
    name = REASONING_HEADER.decode()
    if output is ReasoningOutput.OMIT:
        headers[name] = OMIT.decode()
    elif output is ReasoningOutput.INLINE:
        tags = [spec.thinking.start_tag, spec.thinking.end_tag]
        headers[name] = quote(msgspec.json.encode(tags).decode())


def _take_incremental(body: dict[str, Any], headers: dict[str, str]) -> bool:
    options = body.get(_OPTIONS)
    if not isinstance(options, dict) or _INCREMENTAL not in options:
        return False
    if options.pop(_INCREMENTAL):
        headers[TOOL_CALLS_HEADER.decode()] = INCREMENTAL.decode()
    return True


def _flag(body: dict[str, Any], name: str) -> bool | None:
    value = body.pop(name, None)
    if value is not None and not isinstance(value, bool):
        raise InvalidBody(f"{name} has to be true or false.", param=name)
    return value
