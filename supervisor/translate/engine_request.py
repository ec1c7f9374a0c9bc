"""What a request for an engine needs before the engine gets it. What is not ours passes untouched."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from supervisor.translate import anthropic_messages as anthropic
from supervisor.translate import openai_responses as responses
from supervisor.translate import tokenize as tokenizing
from supervisor.translate.chat_checks import check_chats, check_messages
from supervisor.translate.constraints import check_constraints
from supervisor.translate.delivery import apply_delivery
from supervisor.translate.stops import apply_stops
from supervisor.translate.thinking import apply_thinking
from supervisor.translate.xinference_compat import apply_dialect
from xinfer.errors import InvalidBody
from xinfer.messages import ModelSpec
from xinfer.wire.paths import CHAT, COMPLETIONS, MESSAGES, RESPONSES, USAGE_HEADER, USAGE_MERGED


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A request as an engine gets it."""

    path: str
    body: bytes
    headers: dict[str, str]
    streams: bool


@dataclass(frozen=True, slots=True)
class Api:
    """One route of vLLM's server. ``prepare`` changes a body in place and says whether it did."""

    path: str
    prepare: Callable[[dict[str, Any], ModelSpec], bool]
    merges_usage: bool = False
    """Whether its streams bring the token counts on the chunk that finishes the answer."""


def find(path: str) -> tuple[str, str | None] | None:
    """The data plane's route that ``path`` leads to, and the model's UID if it is in the path; None for any other path."""
    if path in DATA_PLANE:
        return path, None
    found = _BY_UID.match(path)
    if found:
        return (found["path"], found["uid"])
    return None


def model_uid(body: dict[str, Any], in_path: str | None = None) -> str:
    """The model that ``body`` names, which may leave it to the path where that names one."""
    uid = body.get("model")
    if in_path is not None:
        if uid not in (None, in_path):
            raise InvalidBody("The field 'model' names another model than the path.", param="model")
        return in_path
    if not isinstance(uid, str) or not uid:
        raise InvalidBody("Say which model: the field 'model' has to be a model UID.", param="model")
    return uid


def prepare(path: str, raw: bytes, body: dict[str, Any], spec: ModelSpec) -> EngineRequest:
    """The engine's request for ``body``, which came to ``path``; ``BadRequest`` for what no engine has to see."""
    api = DATA_PLANE[path]
    changed = api.merges_usage and apply_dialect(body, chat=path == CHAT)
    changed = api.prepare(body, spec) or changed
    headers = {"content-type": "application/json"}
    if api.merges_usage:
        changed = apply_delivery(body, spec, headers) or changed
    streams = body.get("stream") is True
    if streams and api.merges_usage and _wants_merged_usage(body):
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        headers[USAGE_HEADER.decode()] = USAGE_MERGED.decode()
        changed = True
    return EngineRequest(api.path, msgspec.json.encode(body) if changed else raw, headers, streams)


def _prepare_chat(body: dict[str, Any], spec: ModelSpec) -> bool:
    check_chats(spec)
    check_messages(body)
    changed = apply_stops(body, spec)
    return apply_thinking(body, spec) or changed


def _prepare_completion(body: dict[str, Any], spec: ModelSpec) -> bool:
    prompt = body.get("prompt")
    if prompt is None or prompt in ("", []):
        raise InvalidBody("The field 'prompt' has to be there and must not be empty.", param="prompt")
    check_constraints(body, spec)
    return False


def _wants_merged_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    return options is None or (isinstance(options, dict) and not options.get("include_usage"))


_BY_UID = re.compile(r"/v1/models/(?P<uid>[^/]+)(?P<path>/(?:de)?tokenize)\Z")
_MESSAGES = Api(MESSAGES, anthropic.prepare)
_COUNT_TOKENS = Api("/v1/messages/count_tokens", anthropic.prepare)
_TOKENIZE = Api("/tokenize", tokenizing.prepare)
_DETOKENIZE = Api("/detokenize", tokenizing.prepare_back)
DATA_PLANE = {
    CHAT: Api(CHAT, _prepare_chat, merges_usage=True),
    COMPLETIONS: Api(COMPLETIONS, _prepare_completion, merges_usage=True),
    RESPONSES: Api(RESPONSES, responses.prepare),
    MESSAGES: _MESSAGES,
    "/anthropic/v1/messages": _MESSAGES,
    "/v1/messages/count_tokens": _COUNT_TOKENS,
    "/anthropic/v1/messages/count_tokens": _COUNT_TOKENS,
    "/tokenize": _TOKENIZE,
    "/v1/tokenize": _TOKENIZE,
    "/detokenize": _DETOKENIZE,
    "/v1/detokenize": _DETOKENIZE,
}
"""Paths whose requests go to an engine."""
