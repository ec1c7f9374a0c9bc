"""The shapes of vLLM's replies, as far as the fake engine has them."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any


def prompt(body: dict[str, Any]) -> str:
    """What is asked, if it is text."""
    if "messages" in body:
        content = body["messages"][-1].get("content")
    else:
        content = body.get("prompt", "")
    if isinstance(content, str):
        return content
    return ""


def event(payload: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(payload)}\n\n".encode()


def piece(text: str, *, chat: bool, thought: bool = False) -> dict[str, Any]:
    """Some text of a streamed choice."""
    if chat:
        return {"delta": {"reasoning" if thought else "content": text}}
    return {"text": text}


def answer(words: list[str], *, chat: bool, thoughts: int = 0) -> dict[str, Any]:
    """The choices of an answer in one piece, of which the first ``thoughts`` words are
    reasoning.
    """
    thought, said = ("".join(part) or None for part in (words[:thoughts], words[thoughts:]))
    message = {"role": "assistant", "content": said, "reasoning": thought}
    piece = {"message": message} if chat else {"text": "".join(words)}
    return {"choices": [{"index": 0, **piece, "finish_reason": "length"}]}


def usage(count: int) -> dict[str, Any]:
    """Counts of tokens, one a word."""
    return {"usage": {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1}}


def envelope(uid: str, *, chat: bool, streamed: bool) -> dict[str, Any]:
    if chat:
        kind = "chat.completion.chunk" if streamed else "chat.completion"
    else:
        kind = "text_completion"
    return {"id": f"fake-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": uid}
