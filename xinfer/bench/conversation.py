"""What one person and a model say to each other."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Questions, and between them stand-ins for the answers, which are known before anybody is asked."""

    shared: str
    """What comes before all of it, as in other conversations; empty for nothing."""
    said: tuple[str, ...]
    """The first question, the answer to it, the next question, and so on; a question is last."""

    @property
    def turns(self) -> int:
        return (len(self.said) + 1) // 2

    def prompt(self) -> str:
        """What is shared and the first question, as plain text."""
        return f"{self.shared} {self.said[0]}".lstrip()

    def messages(self, turn: int = 0) -> list[Message]:
        """All up to the question of a turn, the first of which is 0; what is shared is the system's."""
        system = [("system", self.shared)] if self.shared else []
        talk = zip(itertools.cycle(("user", "assistant")), self.said[: 2 * turn + 1], strict=False)
        return [{"role": role, "content": text} for role, text in (*system, *talk)]
