"""Tokens for text and text for tokens, as the model's own tokenizer and chat template have it."""

from __future__ import annotations

from typing import Any

from supervisor.translate.chat import check_chats, check_messages
from supervisor.translate.thinking import EFFORT, ENGINE_BUDGET, TEMPLATE, apply_thinking
from xinfer.errors import InvalidBody
from xinfer.messages import ModelSpec


def translate_tokenize(body: dict[str, Any], spec: ModelSpec) -> None:
    """Make the body of ``/tokenize`` the engine's: ``prompt``, or ``messages`` as they stand in a chat."""
    if "messages" in body:
        check_chats(spec)
        check_messages(body)
        apply_thinking(body, spec)
        # It limits an answer, and there is none.
        body.pop(ENGINE_BUDGET, None)
        effort = body.pop(EFFORT, None)
        if effort is not None:
            body[TEMPLATE] = {**body.get(TEMPLATE, {}), EFFORT: effort}
        return
    if not isinstance(body.get("prompt"), str):
        raise InvalidBody("Send a text as 'prompt', or a conversation as 'messages'.", param="prompt")


def check_detokenize(body: dict[str, Any], _spec: ModelSpec) -> None:
    """``InvalidBody`` unless the body of ``/detokenize`` has a list of tokens."""
    if not isinstance(body.get("tokens"), list):
        raise InvalidBody("The field 'tokens' has to be a list of token ids.", param="tokens")
