"""What a fake engine does, and how it goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fault = Literal["none", "exit", "hang", "error"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """All times in seconds. A prompt of ``!exit``, ``!hang`` or ``!error`` asks for that fault in one request."""

    start_s: float = 0.0
    """How long it takes to come up."""
    start_error: str = ""
    """If given, it prints this as its last error and ends instead of coming up."""
    tokens: int = 16
    """Length of an answer when ``max_tokens`` does not say."""
    first_token_s: float = 0.0
    gap_s: float = 0.0
    """Between two tokens."""
    fault: Fault = "none"
    fault_after: int = 0
    """Tokens sent before the fault strikes."""
