"""A family that a user registers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Registration:
    """One registered family. The registry keeps it, supervisors add it to their catalog."""

    name: str
    family: str
    """The family as JSON, in the catalog's format."""
    persist: bool = True
    """Whether it outlives the cluster."""
