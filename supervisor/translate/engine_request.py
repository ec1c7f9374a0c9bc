"""Which engine route a path leads to, and the request that the engine gets for a client's. Other fields pass untouched."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from supervisor.translate.anthropic_messages import translate_messages
from supervisor.translate.chat import translate_chat, translate_completion
from supervisor.translate.json_schema import check_schemas
from supervisor.translate.openai_responses import translate_response
from supervisor.translate.response_options import take_response_options
from supervisor.translate.resume import ResumableRequest, SentText, take_resumable
from supervisor.translate.tenant import Tenant, keep_apart
from supervisor.translate.tokenize import check_detokenize, translate_tokenize
from supervisor.translate.xinference_compat import translate_xinference_fields
from xinfer.errors import InvalidBody
from xinfer.messages import ModelSpec
from xinfer.wire.paths import CHAT, COMPLETIONS, MESSAGES, RESPONSES


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A request as an engine gets it."""

    path: str
    body: bytes
    headers: dict[str, str]
    streams: bool
    resumable: ResumableRequest | None = None
    """If another replica may go on with its stream: what the rest can be asked for with."""

    def rest(self, sent: SentText, tokens: int) -> EngineRequest:
        """The request for what comes after ``sent``, which is so many ``tokens``; of a resumable request."""
        assert self.resumable is not None, "the request cannot be resumed"
        body = msgspec.json.encode(self.resumable.rest(sent, tokens))
        headers = {**_JSON, **self.resumable.rest_options(sent).to_headers()}
        return replace(self, body=body, headers=headers, resumable=None)


@dataclass(frozen=True, slots=True)
class EngineRoute:
    """One route of vLLM's server. ``translate`` changes a parsed body in place, on its top level only."""

    path: str
    translate: Callable[[dict[str, Any], ModelSpec], None]
    rewrites_responses: bool = False
    """Whether the middleware rewrites its responses, by the request's options."""


def match_route(path: str) -> tuple[str, str | None] | None:
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


def build_engine_request(
    path: str, raw: bytes, body: dict[str, Any], spec: ModelSpec, tenant: Tenant | None = None
) -> EngineRequest:
    """The engine's request for ``body``, parsed from ``raw``, which came to ``path``, of ``tenant``. Changes ``body``.

    Raises ``BadRequest`` for what no engine has to see.
    """
    route = DATA_PLANE[path]
    headers = dict(_JSON)
    before = dict(body)
    if route.rewrites_responses:
        translate_xinference_fields(body, chat=path == CHAT)
    route.translate(body, spec)
    # By now what may have been in extra_body has come to the top.
    if tenant is not None:
        keep_apart(route.path, body, spec, tenant)
    check_schemas(body)

    streams = body.get("stream") is True
    resumable = None
    if route.rewrites_responses:
        merge_usage = streams and _leaves_usage_to_us(body)
        options = take_response_options(body, spec, merge_usage=merge_usage)
        headers |= options.to_headers()
        resumable = take_resumable(path, body, spec, options)
        if merge_usage:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}

    # A body that needs no translation goes on as the bytes that came in: encoding it anew costs more than comparing its fields.
    if _has_changed(before, body):
        raw = msgspec.json.encode(body)
    return EngineRequest(route.path, raw, headers, streams, resumable)


def tokenize_request(text: str) -> EngineRequest:
    """The request for the tokens of ``text``, without those that begin a prompt."""
    body = msgspec.json.encode({"prompt": text, "add_special_tokens": False})
    return EngineRequest(_TOKENIZE.path, body, dict(_JSON), streams=False)


def _has_changed(before: dict[str, Any], body: dict[str, Any]) -> bool:
    """By identity, since translation replaces values and never changes one in place."""
    if before.keys() != body.keys():
        return True
    return any(body[name] is not value for name, value in before.items())


def _leaves_usage_to_us(body: dict[str, Any]) -> bool:
    """True unless the caller says whether it wants OpenAI's usage chunk, or something that vLLM has to refuse."""
    options = body.get("stream_options")
    return options is None or (isinstance(options, dict) and options.get("include_usage") is None)


_JSON = {"content-type": "application/json"}
_BY_UID = re.compile(r"/v1/models/(?P<uid>[^/]+)(?P<path>/(?:de)?tokenize)\Z")
_MESSAGES = EngineRoute(MESSAGES, translate_messages)
_COUNT_TOKENS = EngineRoute("/v1/messages/count_tokens", translate_messages)
_TOKENIZE = EngineRoute("/tokenize", translate_tokenize)
_DETOKENIZE = EngineRoute("/detokenize", check_detokenize)
DATA_PLANE = {
    CHAT: EngineRoute(CHAT, translate_chat, rewrites_responses=True),
    COMPLETIONS: EngineRoute(COMPLETIONS, translate_completion, rewrites_responses=True),
    RESPONSES: EngineRoute(RESPONSES, translate_response),
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
