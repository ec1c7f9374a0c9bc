"""Streams as vLLM 0.32 sends them, and what becomes of them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from worker.middleware.stream_rewriter import StreamRewriter
from xinfer.wire.response_options import ResponseOptions

HEAD = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def sse(*payloads: Any) -> bytes:
    texts = [payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads]
    return b"".join(f"data: {text}\n\n".encode() for text in texts)


def chunk(finish: str | None = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]}


def text_chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "text": text, "finish_reason": finish}]}


USAGE_CHUNK = {**HEAD, "choices": [], "usage": USAGE}


def run(data: bytes, *, chat: bool = True, merge: bool = True, cuts: tuple[int, ...] = (), **wishes: Any) -> list[Any]:
    """Payloads that come out when ``data`` comes in, cut at ``cuts``."""
    reshaper = StreamRewriter(ResponseOptions(merge_usage=merge, **wishes), chat=chat)
    ends = [0, *sorted(cuts), len(data)]
    return payloads(b"".join(reshaper.feed(data[a:b]) for a, b in pairwise(ends)) + reshaper.finish())


def payloads(out: bytes) -> list[Any]:
    """What the events of a stream hold; ``[DONE]`` stays text."""
    assert out.endswith(b"\n\n")
    texts = [each.decode() for each in out.split(b"\n\n")[:-1]]
    assert all(text.startswith("data: ") for text in texts)
    return [text[6:] if text == "data: [DONE]" else json.loads(text[6:]) for text in texts]


def deltas(payloads: list[Any]) -> list[dict[str, Any]]:
    """All deltas, in order."""
    return [choice["delta"] for each in payloads if each != "[DONE]" for choice in each["choices"]]
