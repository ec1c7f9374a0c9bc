"""What follows a thought in the Responses and the Messages API, without the blank lines that templates put between the two.

vLLM passes these on as text, and where a tool call follows, as a message or a block of its own that has nothing else in it.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from xinfer.wire import sse
from xinfer.wire.paths import MESSAGES

_decode = msgspec.json.decode
_EVENT = b"event: "
_BREAK = b"\n" + sse.DATA
_Payload = dict[str, Any]


class AfterThought(Protocol):
    """Rewrites one response."""

    def rewrite(self, event: bytes) -> bytes:
        """What goes out for the next event of a stream; nothing, as long as it may be left out."""

    def whole(self, response: _Payload) -> bool:
        """Rewrite a response that is no stream, in place; False if there is no thought in it, and nothing to change."""


def after_thought(path: str) -> AfterThought:
    """For a response of the API at ``path``."""
    if path == MESSAGES:
        return MessagesAfterThought()
    return ResponsesAfterThought()


def rewrite_whole(rewriter: AfterThought, body: bytes) -> bytes:
    """A whole response; one without a thought stays as it is."""
    response: _Payload = _decode(body)
    if rewriter.whole(response):
        return msgspec.json.encode(response)
    return body


class ResponsesAfterThought:
    """For OpenAI's Responses API: a response is a list of items."""

    def __init__(self) -> None:
        self._has_thought = False
        # The events of a message that has not said anything yet.
        self._held: list[tuple[bytes, _Payload]] = []
        self._items_left_out = 0
        self._events_left_out = 0

    def rewrite(self, event: bytes) -> bytes:
        name, _, data = event.removeprefix(_EVENT).partition(_BREAK)
        if name == b"response.reasoning_text.delta":
            self._has_thought = True
        is_delta = name == b"response.output_text.delta"
        # This is how almost every event goes.
        if not self._has_thought or (is_delta and not self._held and not self._events_left_out):
            return event + sse.END

        payload: _Payload = _decode(data)
        if name == b"response.output_item.added" and payload["item"]["type"] == "message":
            self._held.append((name, payload))
            return b""
        if not self._held:
            return self._encode(name, payload)

        if is_delta:
            payload["delta"] = payload["delta"].lstrip("\n")
        self._held.append((name, payload))
        if is_delta and payload["delta"]:
            return self._release()
        if name == b"response.output_item.done":
            if not self._is_blank(payload["item"]):
                return self._release()
            self._items_left_out += 1
            self._events_left_out += len(self._held)
            self._held.clear()
        return b""

    def whole(self, response: _Payload) -> bool:
        kept: list[_Payload] = []
        has_thought = False
        for item in response.get("output") or ():
            has_thought = has_thought or item["type"] == "reasoning"
            if has_thought and item["type"] == "message":
                self._trim(item.get("content") or ())
                if self._is_blank(item):
                    continue
            kept.append(item)
        if has_thought:
            response["output"] = kept
        return has_thought

    def _release(self) -> bytes:
        held = self._held
        self._held = []
        return b"".join(self._encode(name, payload) for name, payload in held)

    def _encode(self, name: bytes, payload: _Payload) -> bytes:
        if name == b"response.output_text.done":
            payload["text"] = payload["text"].lstrip("\n")
        elif name == b"response.content_part.done":
            self._trim((payload["part"],))
        elif name == b"response.output_item.done":
            self._trim(payload["item"].get("content") or ())
        elif "response" in payload:
            self.whole(payload["response"])

        if "output_index" in payload:
            payload["output_index"] -= self._items_left_out
        if "sequence_number" in payload:
            payload["sequence_number"] -= self._events_left_out
        return sse.encode_event(payload, name)

    @staticmethod
    def _trim(parts: Any) -> None:
        for part in parts:
            if part["type"] == "output_text":
                part["text"] = part["text"].lstrip("\n")

    @staticmethod
    def _is_blank(item: _Payload) -> bool:
        return not any(part.get("text", "").strip("\n") or "refusal" in part for part in item.get("content") or ())


class MessagesAfterThought:
    """For Anthropic's Messages API: a message is a list of blocks."""

    def __init__(self) -> None:
        self._has_thought = False
        # The events of a block of text that has not said anything yet.
        self._held: list[tuple[bytes, _Payload]] = []
        self._left_out = 0

    def rewrite(self, event: bytes) -> bytes:
        name, _, data = event.removeprefix(_EVENT).partition(_BREAK)
        if not name.startswith(b"content_block_"):
            return event + sse.END
        if name == b"content_block_delta" and not self._held and not self._left_out:
            return event + sse.END

        payload: _Payload = _decode(data)
        payload["index"] -= self._left_out
        if name == b"content_block_start":
            kind = payload["content_block"]["type"]
            self._has_thought = self._has_thought or kind == "thinking"
            if self._has_thought and kind == "text":
                self._held.append((name, payload))
                return b""
        if not self._held:
            return sse.encode_event(payload, name)

        self._held.append((name, payload))
        if name == b"content_block_stop":
            self._left_out += 1
            self._held.clear()
            return b""
        text = payload["delta"].get("text", "").lstrip("\n")
        payload["delta"]["text"] = text
        if not text:
            return b""
        held = self._held
        self._held = []
        return b"".join(sse.encode_event(each, kind) for kind, each in held)

    def whole(self, response: _Payload) -> bool:
        kept: list[_Payload] = []
        has_thought = False
        for block in response.get("content") or ():
            has_thought = has_thought or block["type"] == "thinking"
            if has_thought and block["type"] == "text":
                block["text"] = block["text"].lstrip("\n")
                if not block["text"]:
                    continue
            kept.append(block)
        if has_thought:
            response["content"] = kept
        return has_thought
