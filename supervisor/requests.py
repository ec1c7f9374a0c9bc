"""What a request for a completion needs before an engine gets it. What is not ours passes untouched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from supervisor.thinking import apply_thinking
from xinfer.errors import AbilityNotSupported, InvalidBody
from xinfer.messages import ModelSpec
from xinfer.wire import USAGE_HEADER, USAGE_MERGED

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
DATA_PLANE = frozenset({CHAT, COMPLETIONS})
"""Paths whose requests go to an engine."""


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A request as an engine gets it."""

    path: str
    body: bytes
    headers: dict[str, str]
    streams: bool


def model_uid(body: dict[str, Any]) -> str:
    """The model that ``body`` names."""
    uid = body.get("model")
    if not isinstance(uid, str) or not uid:
        raise InvalidBody("Say which model: the field 'model' has to be a model UID.", param="model")
    return uid


def prepare(path: str, raw: bytes, body: dict[str, Any], spec: ModelSpec) -> EngineRequest:
    """The engine's request for ``body``; ``BadRequest`` for what no engine has to see."""
    changed = _prepare_chat(body, spec) if path == CHAT else _prepare_completion(body)
    headers = {"content-type": "application/json"}
    streams = body.get("stream") is True
    if streams and _wants_merged_usage(body):
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        headers[USAGE_HEADER.decode()] = USAGE_MERGED.decode()
        changed = True
    return EngineRequest(path, msgspec.json.encode(body) if changed else raw, headers, streams)


def _prepare_chat(body: dict[str, Any], spec: ModelSpec) -> bool:
    if "chat" not in spec.abilities:
        raise AbilityNotSupported(
            f"The model {spec.uid!r} does not chat; POST to {COMPLETIONS} instead.", param="model"
        )
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidBody("The field 'messages' has to be a list with at least one message.", param="messages")
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidBody(f"messages[{number}] has to be an object with a role.", param=f"messages[{number}]")
    return apply_thinking(body, spec)


def _prepare_completion(body: dict[str, Any]) -> bool:
    prompt = body.get("prompt")
    if prompt is None or prompt in ("", []):
        raise InvalidBody("The field 'prompt' has to be there and must not be empty.", param="prompt")
    return False


def _wants_merged_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    return options is None or (isinstance(options, dict) and not options.get("include_usage"))
