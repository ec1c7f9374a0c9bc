"""Loads with a name, for ``xinfer bench --profile`` and for runs that are started through the REST API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xinfer.bench.plan import Level


@dataclass(frozen=True, slots=True)
class Profile:
    """A load that says something about one way of use."""

    name: str
    description: str
    levels: tuple[int, ...]
    """Streams at the same time, one level after the other."""
    prompt_tokens: int
    output_tokens: int
    turns: int = 1
    requests: int | None = None
    """Of a level; as ``Plan.requests``."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of ``xinfer bench`` that it stands for."""
        return {
            "concurrency": tuple(Level("concurrency", streams) for streams in self.levels),
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "turns": self.turns,
            "requests": self.requests,
        }


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("quick", "A first look: short questions, short answers.", (1, 4, 16), 64, 32),
        Profile("chat", "Conversations of three turns, as people have them.", (1, 8, 32), 128, 64, turns=3),
        Profile("prefill", "Long prompts and short answers, as with documents.", (1, 4, 8), 1500, 16),
        Profile("throughput", "Many streams and longer answers, as in batches.", (8, 32, 64, 128), 64, 128),
    )
}
"""By name."""
