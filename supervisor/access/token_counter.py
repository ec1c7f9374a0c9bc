"""What one response has used: read from it as it passes, whatever API it belongs to."""

from __future__ import annotations

import msgspec

from xinfer.messages import Tokens
from xinfer.wire import sse

_USAGE = b'"usage"'
_LONGEST_EVENT = 1024 * 1024


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    """The counts of OpenAI's, OpenAI's Responses and Anthropic's APIs."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Part(msgspec.Struct):
    usage: _Usage | None = None


class _Response(msgspec.Struct):
    """A response or an event. Of the rest of it nothing is built."""

    usage: _Usage | None = None
    response: _Part | None = None
    message: _Part | str | None = None


_decode = msgspec.json.Decoder(_Response).decode


class TokenCounter:
    """Counts one response. A stream that ends before its counts is counted by its events, which have a token each."""

    __slots__ = ("_found", "_rest", "events")

    def __init__(self) -> None:
        self.events = 0
        self._found: Tokens | None = None
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Look at a piece of a stream. Runs for every chunk."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        self.events += data.count(sse.END)
        if not data.endswith(sse.END):
            _, _, self._rest = data.rpartition(sse.END)
            if len(self._rest) > _LONGEST_EVENT:
                self._rest = b""
        if _USAGE in data:
            self._read_events(data)

    def whole(self, body: bytes) -> None:
        """Look at a response that is no stream."""
        self._take(body)

    @property
    def is_exact(self) -> bool:
        """Whether the engine has said what was used."""
        return self._found is not None and self._found.prompt > 0 and self._found.completion > 0

    def tokens(self, prompt_estimate: int) -> Tokens:
        """What was used. ``prompt_estimate`` stands in for the prompt where the response does not say."""
        found = self._found
        if self.events and (found is None or not found.completion):
            # Anthropic's API tells the prompt at the beginning, and the rest at the end.
            found = found or Tokens(prompt=prompt_estimate)
            return Tokens(prompt=found.prompt, cached=found.cached, completion=self.events)
        return found or Tokens()

    def _read_events(self, data: bytes) -> None:
        for event in data.split(sse.END):
            if _USAGE not in event:
                continue
            begin = event.find(sse.DATA)
            if begin >= 0:
                self._take(event[begin + len(sse.DATA) :])

    def _take(self, text: bytes) -> None:
        try:
            read = _decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Half an event, whose other half follows, or nothing that counts.
            return
        for part in (read, read.response, read.message):
            if part is not None and not isinstance(part, str) and part.usage is not None:
                self._add(part.usage)

    def _add(self, usage: _Usage) -> None:
        """Take the counts: in a stream of Anthropic's, each comes in the event that knows it."""
        found = self._found or Tokens()
        found.prompt = usage.prompt_tokens or usage.input_tokens or found.prompt
        found.completion = usage.completion_tokens or usage.output_tokens or found.completion
        for details in (usage.prompt_tokens_details, usage.input_tokens_details):
            if details and details.cached_tokens:
                found.cached = details.cached_tokens
        if usage.cache_read_input_tokens:
            found.cached = usage.cache_read_input_tokens
        for details in (usage.completion_tokens_details, usage.output_tokens_details):
            if details and details.reasoning_tokens:
                found.reasoning = details.reasoning_tokens
        self._found = found
