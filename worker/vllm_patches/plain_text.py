"""Takes the short way with streamed chats where a piece is nothing but text.

vLLM makes a pydantic model for each part of each chunk, and has parsers look for tool calls, with copies
of all that was said so far, in responses to requests that offer no tools. For vLLM 0.32; with any other
version nothing is changed. The bytes are the same (``tests/worker/test_plain_text.py``).
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import msgspec

_VERSIONS = ("0.32.",)
_CHUNK_FIELDS = frozenset({"id", "object", "created", "choices", "model"})
_CHOICE_FIELDS = frozenset({"index", "delta", "logprobs", "finish_reason", "token_ids"})
_TEXTS = (frozenset({"content"}), frozenset({"reasoning"}))
_encode = msgspec.json.encode


def take_short_ways() -> None:
    """Change vLLM in this process, if its version is one whose ways are known."""
    import vllm

    if vllm.__version__.startswith(_VERSIONS):
        write_plain_chunks()
        parse_no_plain_text()


class PlainChoice:
    """``ChatCompletionResponseStreamChoice`` of one piece of text, in the middle of a response."""

    __slots__ = ("delta", "index")
    finish_reason = None
    tool_calls = ()
    """``maybe_filter_parallel_tool_calls`` takes what is not its class for a delta."""

    def __init__(self, index: int, delta: Any) -> None:
        self.index = index
        self.delta = delta


class PlainChunk:
    """``ChatCompletionStreamResponse`` with one such choice; the real one once it is given more."""

    __slots__ = ("_fields", "_real", "system_fingerprint", "usage")

    def __init__(self, fields: dict[str, Any], real: Any) -> None:
        self._fields = fields
        self._real = real
        # vLLM sets them later, if at all.
        self.usage: Any = None
        self.system_fingerprint: Any = None

    def model_dump_json(self, *, exclude_unset: bool) -> str:
        """As pydantic writes it, fields in the order of their declaration."""
        fields = self._fields
        (choice,) = fields["choices"]
        (name,) = choice.delta.model_fields_set
        piece = {
            "index": choice.index,
            "delta": {name: getattr(choice.delta, name)},
            "logprobs": None,
            "finish_reason": None,
            "token_ids": None,
        }
        chunk = {
            "id": fields["id"],
            "object": fields["object"],
            "created": fields["created"],
            "model": fields["model"],
            "choices": [piece],
        }
        if self.usage is None and self.system_fingerprint is None:
            return _encode(chunk).decode()

        real = self._real(**chunk)
        if self.usage is not None:
            real.usage = self.usage
        if self.system_fingerprint is not None:
            real.system_fingerprint = self.system_fingerprint
        return str(real.model_dump_json(exclude_unset=exclude_unset))


def write_plain_chunks() -> None:
    """Write chunks of text alone without pydantic, which took 7 of the 12 µs that a chunk costs to write."""
    serving: Any = importlib.import_module("vllm.entrypoints.openai.chat_completion.serving")
    delta_message = importlib.import_module("vllm.entrypoints.generate.base.protocol").DeltaMessage
    real_choice = serving.ChatCompletionResponseStreamChoice
    real_chunk = serving.ChatCompletionStreamResponse

    def make_choice(**fields: Any) -> Any:
        delta = fields["delta"]
        if (
            fields.keys() == _CHOICE_FIELDS
            and fields["logprobs"] is fields["finish_reason"] is fields["token_ids"] is None
            and type(delta) is delta_message
            and delta.model_fields_set in _TEXTS
            and (delta.content is not None or delta.reasoning is not None)
        ):
            return PlainChoice(fields["index"], delta)
        return real_choice(**fields)

    def make_chunk(**fields: Any) -> Any:
        choices = fields["choices"]
        if len(choices) == 1 and type(choices[0]) is PlainChoice and fields.keys() == _CHUNK_FIELDS:
            return PlainChunk(fields, real_chunk)
        return real_chunk(**fields)

    serving.ChatCompletionResponseStreamChoice = make_choice
    serving.ChatCompletionStreamResponse = make_chunk


def parse_no_plain_text() -> None:
    """Leave what follows the reasoning to no parser, where there is none for tool calls, or no tool to be called.

    Some parsers get the whole text and all tokens so far with each piece: the longer the response, the more
    a piece of it costs.
    """
    delta_message = importlib.import_module("vllm.entrypoints.generate.base.protocol").DeltaMessage
    parser_class = importlib.import_module("vllm.parser.abstract_parser").DelegatingParser
    parse_delta = parser_class.parse_delta

    @functools.wraps(parse_delta)
    def parse_if_needed(
        parser: Any,
        delta_text: str,
        delta_token_ids: list[int],
        request: Any,
        prompt_token_ids: list[int] | None = None,
        *,
        finished: bool,
    ) -> Any:
        if delta_text and not finished and _calls_no_tools(parser, request):
            return delta_message(content=delta_text)
        return parse_delta(parser, delta_text, delta_token_ids, request, prompt_token_ids, finished=finished)

    parser_class.parse_delta = parse_if_needed


def _calls_no_tools(parser: Any, request: Any) -> bool:
    """Whether vLLM's parser would pass on what comes now as it is, having seen the end of the reasoning."""
    state = parser._stream_state
    if not state.reasoning_ended:
        return False
    if parser._tool_parser is None:
        return True
    # The first piece after the reasoning may have come with the end of it; an engine of vLLM's keeps its own state.
    return state.tool_call_text_started and not parser._engine_based and request.tool_choice == "none"
