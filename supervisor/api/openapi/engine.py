"""Operations of the data plane. Their bodies go on to vLLM's server: only what xinfer itself reads is described here."""

from __future__ import annotations

from supervisor.api.openapi.operation import TEXT, Operation, Schema
from supervisor.translate.engine_request import DATA_PLANE

_ANYTHING: Schema = {"type": "object"}
_MODEL: Schema = {**TEXT, "minLength": 1, "description": "A model's UID."}
_STREAM: Schema = {"type": ["boolean", "null"], "description": "Whether the answer comes as events."}
_MESSAGES: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "object", "required": ["role"], "properties": {"role": TEXT}},
}


def _body(required: tuple[str, ...], **fields: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": fields}


_CHAT = _body(
    ("model", "messages"),
    model=_MODEL,
    messages=_MESSAGES,
    stream=_STREAM,
    enable_thinking={"type": ["boolean", "null"], "description": "Whether a model that can choose is to think."},
    chat_template_kwargs={"description": "Variables of the chat template, as an object or as JSON text."},
)
_COMPLETION = _body(
    ("model", "prompt"), model=_MODEL, prompt={"description": "Text, token ids, or a list."}, stream=_STREAM
)
_RESPONSES = _body(("model", "input"), model=_MODEL, input={"description": "Text, or items."}, stream=_STREAM)
_ANTHROPIC = _body(
    ("model", "messages", "max_tokens"), model=_MODEL, messages=_MESSAGES, max_tokens={"type": "integer"}
)
_COUNT = _body(("model", "messages"), model=_MODEL, messages=_MESSAGES)
_TOKENIZE: Schema = {
    "type": "object",
    "properties": {"model": _MODEL, "prompt": TEXT, "messages": _MESSAGES},
    "anyOf": [{"required": ["prompt"]}, {"required": ["messages"]}],
}
_TOKENS: Schema = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_DETOKENIZE: Schema = {"type": "object", "required": ["tokens"], "properties": {"model": _MODEL, "tokens": _TOKENS}}

_BODIES: dict[str, tuple[str, Schema]] = {
    "/v1/chat/completions": ("Answer messages.", _CHAT),
    "/v1/completions": ("Continue a text.", _COMPLETION),
    "/v1/responses": ("Answer, in OpenAI's newer words. Nothing is kept.", _RESPONSES),
    "/v1/messages": ("Answer messages, in Anthropic's words.", _ANTHROPIC),
    "/v1/messages/count_tokens": ("Count the tokens of messages.", _COUNT),
    "/tokenize": ("Tokens of a text, or of messages as they stand in a chat.", _TOKENIZE),
    "/detokenize": ("The text of tokens.", _DETOKENIZE),
}
_NEEDS_NO_STREAM = ("/tokenize", "/detokenize", "/v1/messages/count_tokens")
BY_UID = ("/v1/models/{uid}/tokenize", "/v1/models/{uid}/detokenize")


def _operation(path: str, at_the_engine: str) -> Operation:
    summary, body = _BODIES[at_the_engine]
    return Operation("POST", path, summary, _ANYTHING, body=body, streams=at_the_engine not in _NEEDS_NO_STREAM)


ENGINE = (
    *(_operation(path, api.path) for path, api in DATA_PLANE.items()),
    *(_operation(path, f"/{path.rpartition('/')[2]}") for path in BY_UID),
)
"""All of them."""
