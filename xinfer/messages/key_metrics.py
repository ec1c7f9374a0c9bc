"""What a supervisor has counted of one key's requests of one model, since it started."""

from __future__ import annotations

from dataclasses import dataclass, field

from xinfer.messages.access import Tokens
from xinfer.messages.metrics import Outcome

LIMITED = "limited"
"""The outcome of a request that one of its key's own limits refused; the model did not hear of it."""
KEY_OUTCOMES = (*(outcome.value for outcome in Outcome), LIMITED)


@dataclass(slots=True)
class KeyCounts:
    """Plain numbers, since every request adds to them."""

    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEY_OUTCOMES, 0))
    tokens: Tokens = field(default_factory=Tokens)

    def add(self, other: KeyCounts) -> None:
        """Count the requests of ``other`` as well."""
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        self.tokens.add(other.tokens)
