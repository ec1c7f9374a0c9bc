"""How vLLM's answers are brought into the shape that OpenAI's, Xinference's and LangChain's clients all read.

- reasoning is called ``reasoning_content`` (vLLM says ``reasoning``), or goes where the request wants it;
- ``content`` of a message or delta is always a string;
- tool calls of a stream come whole, on the chunk that finishes the choice, unless the caller wants them bit by bit;
- unless the caller asked for a usage chunk of its own, the token counts ride on the chunk that finishes the answer;
- a stream of ``/v1/completions`` ends without ``[DONE]``, and one that broke ends with an error event and nothing after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from worker.middleware.choice import Choice, shape_of
from xinfer.errors import EngineLost, InternalError, XinferError, from_response
from xinfer.wire.error_format import ErrorFormat
from xinfer.wire.response_options import ResponseOptions
from xinfer.wire.sse import COMMENT, DATA, DONE, END, EventSplitter, encode_event

# How long a stream may say nothing because all that comes is kept back.
_SILENCE_S = 5.0
_ENVELOPE = ("id", "object", "created", "model")
_decode = msgspec.json.decode


def rewrite_response(body: bytes, options: ResponseOptions) -> bytes:
    """A whole chat completion, not streamed."""
    answer = _decode(body)
    for choice in answer.get("choices", ()):
        shape_of(options).message(choice["message"], choice)
    return msgspec.json.encode(answer)


class WholeRewriter:
    """Collects a response that does not stream, and has ``rewrite`` change its body when all of it is there."""

    refusal: XinferError | None = None

    def __init__(self, rewrite: Callable[[bytes], bytes]) -> None:
        self._rewrite = rewrite
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Nothing goes out yet."""
        self._parts.append(data)
        return b""

    def finish(self) -> bytes:
        """The whole body."""
        return self._rewrite(b"".join(self._parts))


class StreamRewriter:
    """Reshapes one stream, event by event, as its request wishes."""

    def __init__(self, options: ResponseOptions, *, chat: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._chat = chat
        self._options = options
        self._clock = clock
        self._merge_usage = options.merge_usage
        self._choices: dict[int, Choice] = {}
        self._envelope: dict[str, Any] = {}
        self._splitter = EventSplitter()
        self._held: dict[str, Any] | None = None
        self._over = False
        self._begun = False
        self._silent_since: float | None = None
        self.refusal: XinferError | None = None
        """The engine's error, if its stream has begun with one."""

    def feed(self, data: bytes) -> bytes:
        """What may go out after ``data`` has come in; events that are cut in two wait for their other half."""
        parts: list[bytes] = []
        for text in self._splitter.feed(data):
            parts.extend(self._reshape(text))
        return b"".join(parts) or self._sign_of_life()

    def finish(self) -> bytes:
        """What has to follow when the engine's stream has ended."""
        last = self._release()
        if not self._over:
            self._over = True
            error = EngineLost("The engine ended the answer before it was complete.")
            return last + ErrorFormat.OPENAI.event(error)
        return last

    def abort(self) -> bytes:
        """What has to follow when the answer was given up at somebody's wish: it is finished, for that reason."""
        last = self._release()
        if not self._over:
            self._over = True
            ends = [choice.end("abort") for choice in self._choices.values() if not choice.finished]
            if ends:
                last += encode_event({**self._envelope, "choices": ends})
            if self._chat:
                last += DONE
        return last

    def _reshape(self, text: bytes) -> Iterator[bytes]:
        if not text.startswith(DATA):
            yield text + END
            return
        payload = text[len(DATA) :]
        if payload == b"[DONE]":
            yield self._release()
            if not self._over and self._chat:
                yield DONE
            self._over = True
        elif not self._over:
            yield from self._reshape_chunk(_decode(payload))

    def _reshape_chunk(self, chunk: dict[str, Any]) -> Iterator[bytes]:
        error = chunk.get("error")
        if error is not None:
            yield self._fail(error)
            return
        if not self._begun:
            self._begun = True
            self._envelope = {name: chunk[name] for name in _ENVELOPE if name in chunk}
        choices = chunk.get("choices") or []
        has_news = finishes = False
        for choice in choices:
            known = self._choices.get(choice.get("index", 0)) or self._meet(choice)
            has_news = known.reshape(choice) or has_news
            finishes = finishes or known.finished
        if choices and not has_news:
            return
        self._silent_since = None
        if self._held is not None or not choices:
            yield self._release(None if choices else chunk)
        if self._merge_usage and finishes:
            self._held = chunk
        elif choices or not self._merge_usage:
            yield encode_event(chunk)

    def _meet(self, choice: dict[str, Any]) -> Choice:
        index = choice.get("index", 0)
        self._choices[index] = Choice(index, self._options, chat=self._chat)
        return self._choices[index]

    def _sign_of_life(self) -> bytes:
        """Something now and then, or whoever waits would take the engine for dead."""
        now = self._clock()
        if self._silent_since is None:
            self._silent_since = now
        if not self._begun or now - self._silent_since < _SILENCE_S:
            return b""
        self._silent_since = now
        return COMMENT

    def _fail(self, error: Any) -> bytes:
        self._over = True
        self._held = None
        fields: dict[str, Any] = error if isinstance(error, dict) else {"message": str(error)}
        if not self._begun:
            self.refusal = _refusal(fields)
            return b""
        return ErrorFormat.OPENAI.event(InternalError(str(fields.get("message") or "The engine failed.")))

    def _release(self, usage_chunk: dict[str, Any] | None = None) -> bytes:
        """The chunk that was kept back for the token counts, with them and what else the usage chunk has, if it came."""
        held = self._held
        self._held = None
        if held is None:
            return b""
        if usage_chunk is not None:
            # vLLM sends its system_fingerprint, and metrics if it is told to, on the last chunk only.
            held = {**usage_chunk, **held}
            if "usage" in usage_chunk:
                held["usage"] = usage_chunk["usage"]
        return encode_event(held)


def _refusal(error: dict[str, Any]) -> XinferError:
    """The error that vLLM would have responded with, had it not begun to stream: its ``code`` is the status."""
    code = error.get("code")
    if isinstance(code, int) and 400 <= code < 600:
        return from_response(code, {"error": error})
    return from_response(InternalError.status, {"error": error})
