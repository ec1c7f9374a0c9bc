"""What has happened to a model, for people who look back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EventType(StrEnum):
    """How much it matters; the names are Xinference's."""

    INFO = "INFO"
    WARNING = "WARNING"  # something was lost, or goes on in a lesser way
    ERROR = "ERROR"  # the model, or a replica, has failed


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, in a sentence."""

    type: EventType
    at: float
    """Unix time in seconds."""
    content: str
