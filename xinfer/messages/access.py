"""Keys, what was used with them, and what was done with them, as the registry and the supervisors tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal


class KeyScope(StrEnum):
    """What a key is for. ``launch`` may do what ``infer`` may, and ``admin`` everything."""

    INFER = "infer"  # use models
    LAUNCH = "launch"  # launch, scale and terminate them, too
    ADMIN = "admin"  # keys, registrations, code of others, the end of the cluster
    METRICS = "metrics"  # read the metrics, and nothing else


class Priority(StrEnum):
    """Which requests an engine with ``scheduling_policy`` ``priority`` takes first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


Period = Literal["day", "month"]


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Limits of one key in the whole cluster; None is no limit."""

    rpm: int | None = None
    """Requests per minute."""
    tpm: int | None = None
    """Tokens per minute, prompts and answers together."""
    concurrency: int | None = None
    """Requests at the same time."""
    budget_tokens: int | None = None
    """Tokens per ``budget_period``, which begins at midnight UTC."""
    budget_period: Period = "day"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key. Its text is nowhere: only ``digests`` of it."""

    id: str
    name: str
    scope: KeyScope
    digest: bytes = field(repr=False)
    models: tuple[str, ...] = ()
    """Globs of the model UIDs that it may use; none stands for all."""
    limits: KeyLimits = KeyLimits()
    priority: Priority = Priority.NORMAL
    isolate_cache: bool = False
    """Whether engines keep the prefix cache of its prompts apart."""
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
    cut_streams: bool = False
    """Whether it was revoked together with the streams that were open."""
    former_digest: bytes | None = field(default=None, repr=False)
    """Of the text before the last rotation, which is valid until ``former_until``."""
    former_until: float = 0.0

    def is_valid(self, now: float) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class KeyUpdate:
    """What is to be different about a key. A field that is in neither mapping stays as it is."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``ApiKey``, but not its limits."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``KeyLimits``; None is no limit."""

    def applied_to(self, key: ApiKey) -> ApiKey:
        """``key`` with these fields over those that it has."""
        return replace(key, **self.fields, limits=replace(key.limits, **self.limits))


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """The keys that have changed since a version."""

    version: int
    keys: tuple[ApiKey, ...] = ()
    budget_used: Mapping[str, int] = field(default_factory=dict)
    """Tokens used in the period under way, in the whole cluster, of those among them that have a budget."""


@dataclass(slots=True)
class Tokens:
    """What was used, as a sum."""

    requests: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0
    refused: int = 0

    def add(self, other: Tokens) -> None:
        self.requests += other.requests
        self.prompt += other.prompt
        self.cached += other.cached
        self.completion += other.completion
        self.reasoning += other.reasoning
        self.refused += other.refused


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What one supervisor has counted since its last report, by key id and model UID."""

    supervisor: str
    number: int
    """Counts its reports, so that one that is sent twice is added once."""
    used: dict[tuple[str, str], Tokens]
    demand: dict[str, int] = field(default_factory=dict)
    """Requests that have come with each limited key since the last report, refused ones included."""


@dataclass(frozen=True, slots=True)
class KeyShare:
    """What a supervisor is told of one limited key."""

    budget_used: int = 0
    """Tokens used in the period under way, in the whole cluster."""
    share: float | None = None
    """The part of the key's limits that this supervisor gives out; None is an equal part."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was used with one key of one model, in one hour or several."""

    hour: int
    """Unix time of its beginning."""
    key: str
    model: str
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change that somebody asked for. Never a prompt, never a key."""

    at: float
    key: str
    """The key's id."""
    name: str
    address: str
    action: str
    target: str
    status: int
    request_id: str = ""
