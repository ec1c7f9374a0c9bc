"""What is recorded of one request."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from xinfer.errors import XinferError


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed. ``kind`` is what failures are counted by."""

    kind: str
    error: XinferError


@dataclass(frozen=True, slots=True)
class Sample:
    """One request, by the clock of the generator; times are in seconds."""

    started_s: float
    ended_s: float
    content_s: tuple[float, ...] = ()
    """When each event with content came; empty for a whole response."""
    prompt_tokens: int | None = None
    """As the server counts them; None if it does not."""
    completion_tokens: int | None = None
    failure: Failure | None = None
    late_s: float = 0.0
    """How long after its arrival it was sent."""
    turn: int = 0
    """Of its conversation, whose first is 0."""

    @property
    def ttft_s(self) -> float | None:
        """Time to the first content; None without any."""
        if self.content_s:
            return self.content_s[0] - self.started_s
        return None

    @property
    def gaps_s(self) -> list[float]:
        """Between one event with content and the next."""
        return [late - early for early, late in pairwise(self.content_s)]

    @property
    def e2e_s(self) -> float:
        """From the request to the end of its response."""
        return self.ended_s - self.started_s

    @property
    def chunks(self) -> int:
        """Events with content."""
        return len(self.content_s)

    @property
    def tokens(self) -> int:
        """Of the response; events with content stand in for tokens that the server does not count."""
        if self.completion_tokens is None:
            return self.chunks
        return self.completion_tokens
