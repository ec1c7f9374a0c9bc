"""A model's files, brought to a node before a replica is there."""

from __future__ import annotations

from dataclasses import dataclass

from xinfer.messages.model import ModelSpec
from xinfer.settings import EngineSettings


@dataclass(frozen=True, slots=True)
class Prefetch:
    """What a node is to have."""

    spec: ModelSpec
    settings: EngineSettings
    log: str
    """The file for what the hub's library warns of."""


@dataclass(frozen=True, slots=True)
class Prefetched:
    """How that went."""

    fetched_bytes: int = 0
    """The model's files; 0 if they were there already."""
    seconds: float = 0.0
    error: str = ""
    """Why they are not there; empty if they are."""
