"""The shapes of vLLM's replies, as far as the fake engine has them."""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import Any

_WORDS = re.compile(r"(?:\d+ )*\Z")


def prompt(body: dict[str, Any]) -> str:
    """What is asked, if it is text."""
    if "messages" in body:
        content = body["messages"][-1].get("content")
    else:
        content = body.get("prompt", "")
    if isinstance(content, str):
        return content
    return ""


def words_so_far(body: dict[str, Any]) -> int:
    """How many words of the answer its caller has already, and wants to have continued."""
    if "messages" in body and not body.get("continue_final_message"):
        return 0
    so_far = _WORDS.search(prompt(body))
    assert so_far is not None, "the pattern fits everything"
    return so_far[0].count(" ")


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
