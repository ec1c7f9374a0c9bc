"""What a run asks for: every setting once, with its default, unit and check."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from xinfer.bench.conversation import Conversation
from xinfer.bench.level import Level

Api = Literal["chat", "completions"]
MIN_PROMPT_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Workload:
    seed: int
    prompt_tokens: int = 128
    """In words, which are about a token each; what they came to is taken from the server's own count."""
    shared_prefix_tokens: int = 0
    """The part of every prompt, its beginning, that is the same in all; the system message of a chat."""
    output_tokens: int = 64
    turns: int = 1
    """Of a conversation: each asks anew after all that was said before."""
    turn_tokens: int = 32
    """Of every question after the first one, in words."""
    api: Api = "chat"
    stream: bool = True
    ignore_eos: bool = True
    """Have the answer go on to ``output_tokens``, whatever it says. An extension of vLLM's that others may refuse."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.prompt_tokens < self.shared_prefix_tokens + MIN_PROMPT_TOKENS:
            wanted = f"at least {MIN_PROMPT_TOKENS} more than shared_prefix_tokens={self.shared_prefix_tokens}"
            raise ValueError(f"prompt_tokens={self.prompt_tokens}: expected {wanted}")
        if self.turns > 1 and self.api != "chat":
            raise ValueError(f"turns={self.turns}: expected 1 with api={self.api}; only a chat has turns")

    def body(self, model: str, talk: Conversation, turn: int = 0) -> dict[str, Any]:
        """The request of one turn as it goes over the wire."""
        text: dict[str, Any]
        if self.api == "chat":
            text = {"messages": talk.messages(turn)}
        else:
            text = {"prompt": talk.prompt()}
        body = {"model": model, **text, "max_tokens": self.output_tokens, "temperature": 0, "stream": self.stream}
        if self.stream:
            body["stream_options"] = {"include_usage": True}
        if self.ignore_eos:
            body["ignore_eos"] = True
        return {**body, **self.extra_body}


@dataclass(frozen=True, slots=True)
class Plan:
    """How often it is asked, and how long each answer may take."""

    levels: tuple[Level, ...] = tuple(Level("concurrency", streams) for streams in (1, 8, 32))
    requests: int | None = None
    """Of a leg; rounded up to a multiple of the streams and their turns. Three per stream, 12 at least, or 10 s of a rate,
    unless given."""
    duration_s: float | None = None
    """Of a leg, instead of a number: requests begin until then, and all are waited for."""
    warm_up: int | None = None
    """Requests before the first leg of a level, for each server; rounded up to whole conversations, of which there is one per
    stream unless given."""
    rounds: int = 1
    timeout_s: float = 300.0
    """Of one request, from its first byte to its last."""
    max_in_flight: int = 4096
    """With a rate: an arrival beyond it waits."""

    def warm_up_at(self, level: Level, turns: int) -> int:
        """How many conversations of so many turns warm a server up for ``level``."""
        if self.warm_up is None:
            return level.at_once
        return math.ceil(self.warm_up / turns)
