"""How vLLM's answers are brought into the shape that OpenAI's, Xinference's and LangChain's clients all read.

- reasoning is called ``reasoning_content`` (vLLM says ``reasoning``);
- ``content`` of a message or delta is always a string;
- unless the caller asked for a usage chunk of its own, the token counts ride on the chunk that finishes the answer;
- a stream of ``/v1/completions`` ends without ``[DONE]``, and one that broke ends with an error event and nothing after it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

DONE = b"data: [DONE]\n\n"
_decode = msgspec.json.decode
encode = msgspec.json.encode


def event(payload: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + encode(payload) + b"\n\n"


def error_event(message: str, code: str) -> bytes:
    """The event that ends a stream which could not be finished."""
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return event({"error": error, "detail": message})


def reshape_message(message: dict[str, Any]) -> None:
    """Bring a message or delta into shape, in place."""
    reasoning = message.pop("reasoning", None)
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    if not isinstance(message.get("content"), str):
        message["content"] = ""


def reshape_answer(body: bytes) -> bytes:
    """A whole chat completion, not streamed."""
    answer = _decode(body)
    for choice in answer.get("choices", ()):
        message = choice["message"]
        reshape_message(message)
        if message.get("reasoning_content"):
            message["reasoning_content"] = message["reasoning_content"].strip("\n")
            message["content"] = message["content"].lstrip("\n")
    return encode(answer)


class Margins:
    """Takes the empty lines off that a template puts before reasoning and between it and the answer, in a stream of deltas."""

    def __init__(self) -> None:
        self._in_margin = {"reasoning_content": True, "content": False}

    def trim(self, delta: dict[str, Any]) -> None:
        """Trim one delta in place; the answer of a model that did not reason stays as it is."""
        if delta.get("reasoning_content"):
            self._in_margin["content"] = True
        for field, in_margin in self._in_margin.items():
            if in_margin and delta.get(field):
                delta[field] = delta[field].lstrip("\n")
                self._in_margin[field] = not delta[field]


class StreamReshaper:
    """Reshapes one stream, event by event. ``merge_usage``: the usage chunk was not the caller's wish."""

    def __init__(self, *, chat: bool, merge_usage: bool) -> None:
        self._chat, self._merge_usage = chat, merge_usage
        self._margins: defaultdict[int, Margins] = defaultdict(Margins)
        self._rest = b""
        self._held: dict[str, Any] | None = None
        self._over = False
        self._begun = False
        self.failed_at_once: dict[str, Any] | None = None
        """The engine's error, if its stream has begun with one."""

    def feed(self, data: bytes) -> bytes:
        """What may go out after ``data`` has come in; events that are cut in two wait for their other half."""
        events = (self._rest + data).split(b"\n\n")
        self._rest = events.pop()
        return b"".join(part for text in events for part in self._reshape(text))

    def finish(self) -> bytes:
        """What has to follow when the engine's stream has ended."""
        last = self._release()
        if not self._over:
            self._over = True
            return last + error_event("The engine ended the answer before it was complete.", "engine_lost")
        return last

    def _reshape(self, text: bytes) -> Iterator[bytes]:
        if not text.startswith(b"data: "):
            yield text + b"\n\n"
            return
        payload = text[6:]
        if payload == b"[DONE]":
            yield self._release()
            if not self._over and self._chat:
                yield DONE
            self._over = True
        elif not self._over:
            yield from self._reshape_chunk(_decode(payload))

    def _reshape_chunk(self, chunk: dict[str, Any]) -> Iterator[bytes]:
        if (error := chunk.get("error")) is not None:
            yield self._fail(error)
            return
        self._begun = True
        choices = chunk.get("choices") or []
        if self._chat:
            for choice in choices:
                reshape_message(choice["delta"])
                self._margins[choice.get("index", 0)].trim(choice["delta"])
        if self._merge_usage and not choices:
            yield self._release(chunk.get("usage"))
            return
        yield self._release()
        if self._merge_usage and any(choice.get("finish_reason") for choice in choices):
            self._held = chunk
        else:
            yield event(chunk)

    def _fail(self, error: Any) -> bytes:
        self._over, self._held = True, None
        fields: dict[str, Any] = error if isinstance(error, dict) else {"message": str(error)}
        if not self._begun:
            self.failed_at_once = fields
        return error_event(str(fields.get("message") or "The engine failed."), "engine_failed")

    def _release(self, usage: Any = None) -> bytes:
        """The chunk that was kept back for the token counts, with them if they came."""
        held, self._held = self._held, None
        if held is None:
            return b""
        if usage is not None:
            held["usage"] = usage
        return event(held)
