"""What a fake engine does, and how it goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fault = Literal["none", "exit", "hang", "error"]
Exit = Literal["never", "starting", "loading", "warming_up"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """All times in seconds. A prompt of ``!exit``, ``!hang`` or ``!error`` asks for that fault
    in one request.

    It comes up as vLLM does and writes its log in vLLM's words: it starts, loads (from the line
    ``Starting to load model`` on), listens, and is warmed up by its first generation, which its
    worker asks for.
    """

    start_s: float = 0.0
    """How long it takes before it begins to load."""
    start_error: str = ""
    """If given, it prints this as its last error and ends instead of beginning to load."""
    follower_error: str = ""
    """If given, every part of it that has no server prints this as its last error and ends instead of connecting."""
    load_s: float = 0.0
    """How long it loads before it listens."""
    load_error: str = ""
    """If given, it prints this as its last error and ends instead of listening."""
    warm_s: float = 0.0
    """How much longer its first generation takes than others."""
    warm_error: str = ""
    """If given, the first generation is answered 500 with this."""
    exit_while: Exit = "never"
    """The stage in which it dies without a word, after the time that the stage takes."""
    tokens: int = 16
    """Length of an answer when ``max_tokens`` does not say."""
    thoughts: int = 0
    """How many of an answer's tokens are reasoning, in a chat."""
    first_token_s: float = 0.0
    gap_s: float = 0.0
    """Between two tokens."""
    slots: int = 0
    """Requests that it runs at once, others waiting their turn; 0 for any number. All of them hold half of its KV cache."""
    kv_cache_usage: float = 0.0
    """What its metrics say of its KV cache, from 0 to 1."""
    fault: Fault = "none"
    fault_after: int = 0
    """Tokens sent before the fault strikes."""

    @property
    def shows_loading(self) -> bool:
        """Whether its log tells of loading; if nothing is to happen there, it goes from
        starting to listening.
        """
        return bool(self.load_s or self.load_error or self.exit_while == "loading")
