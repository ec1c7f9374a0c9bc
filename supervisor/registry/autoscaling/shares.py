"""How models that need more GPUs than there are share them, as a plain function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """What one model needs."""

    uid: str
    gpus: float
    """Of each replica."""
    weight: float
    least: int
    need: int
    """Replicas, at least ``least``."""


def fair_sizes(claims: Sequence[Claim], gpus: float) -> dict[str, int]:
    """The replicas that each model should have of ``gpus`` GPUs.

    Each has its least number. Then one replica after the other goes to the model with the fewest GPUs for its weight, as long as
    it needs one and there is room, so that nothing is left unused that somebody needs.
    """
    sizes = {claim.uid: claim.least for claim in claims}
    left = gpus - sum(claim.least * claim.gpus for claim in claims)
    while True:
        wanting = [claim for claim in claims if sizes[claim.uid] < claim.need and claim.gpus <= left + 1e-6]
        if not wanting:
            return sizes
        # By the name if two are equal: the same needs are always met in the same way.
        poorest = min(wanting, key=lambda claim: ((sizes[claim.uid] + 1) * claim.gpus / claim.weight, claim.uid))
        sizes[poorest.uid] += 1
        left -= poorest.gpus
