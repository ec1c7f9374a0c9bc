"""Bodies and responses of the routes for keys, usage and the audit log."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from xinfer.api_key import OPERATOR
from xinfer.messages import ApiKey, KeyLimits, KeyScope, Priority, Tokens

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,63}\Z", re.ASCII)
_GLOB = re.compile(r"[A-Za-z0-9._*?\[\]!-]{1,100}\Z", re.ASCII)
_LONGEST_S = 10 * 366 * 86400


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value or []


class KeyRequest(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="Letters, digits, blanks and . _ @ + -, at most 64 of them.")
    scope: KeyScope = KeyScope.INFER
    models: Annotated[list[str], BeforeValidator(_split)] = Field(
        default_factory=list, max_length=100, description="Globs of model UIDs, in a list or with commas; none is all."
    )
    rpm: int | None = Field(None, ge=1, le=10**9, description="Requests per minute.")
    tpm: int | None = Field(None, ge=1, le=10**12, description="Tokens per minute, prompts and answers together.")
    concurrency: int | None = Field(None, ge=1, le=10**6, description="Requests at the same time.")
    budget_tokens: int | None = Field(None, ge=1, le=10**15, description="Tokens per budget_period.")
    budget_period: Literal["day", "month"] = Field("day", description="It begins at midnight UTC.")
    priority: Priority = Priority.NORMAL
    isolate_cache: bool = Field(False, description="Keep the prefix cache of its prompts apart from everybody else's.")
    expires_in: float | None = Field(None, gt=0, le=_LONGEST_S, allow_inf_nan=False, description="In seconds.")

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not _NAME.match(name) or name == OPERATOR:
            raise ValueError("expected up to 64 letters, digits, blanks or . _ @ + -, and not the name 'operator'")
        return name

    @field_validator("models")
    @classmethod
    def _check_models(cls, models: list[str]) -> list[str]:
        for glob in models:
            if not _GLOB.match(glob):
                raise ValueError(f"{glob[:100]!r} is no glob of model UIDs")
        return models

    @property
    def limits(self) -> KeyLimits:
        return KeyLimits(self.rpm, self.tpm, self.concurrency, self.budget_tokens, self.budget_period)


class RotateRequest(BaseModel):
    """How long the old text of a key stays valid."""

    model_config = ConfigDict(extra="forbid")

    overlap: float = Field(3600.0, ge=0, le=31 * 86400, allow_inf_nan=False, description="In seconds.")


class RevokeRequest(BaseModel):
    """How a key is revoked."""

    now: bool = Field(False, description="Whether to end the streams that are open, too.")


class LoginRequest(BaseModel):
    """What Xinference's clients send to log in. The password is a key; the name is not looked at."""

    username: str = Field("", max_length=200)
    password: str = Field(max_length=200)


class KeyReply(TypedDict):
    """One key. Its text is in ``key``, once: when it has just been made."""

    id: str
    name: str
    scope: str
    models: list[str]
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    budget_tokens: int | None
    budget_period: str
    priority: str
    isolate_cache: bool
    state: Literal["active", "expired", "revoked"]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    former_until: float | None
    key: NotRequired[str]


class KeyList(TypedDict):
    """All keys, oldest first."""

    object: Literal["list"]
    data: list[KeyReply]


class UsageItem(TypedDict):
    """What was used; what is summed over is left out."""

    hour: NotRequired[int]
    key: NotRequired[str]
    key_name: NotRequired[str]
    model: NotRequired[str]
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    refused: int


class UsageReply(TypedDict):
    """What was used in whole hours of UTC."""

    object: Literal["list"]
    since: int
    until: int
    data: list[UsageItem]


class AuditItem(TypedDict):
    """One change that somebody asked for, and the status of the response."""

    at: float
    key: str
    name: str
    address: str
    action: str
    target: str
    status: int
    request_id: str


class AuditReply(TypedDict):
    """The latest changes, oldest first."""

    object: Literal["list"]
    data: list[AuditItem]


class TokenReply(TypedDict):
    """What Xinference's clients expect of a login: the key itself."""

    access_token: str
    token_type: Literal["bearer"]


def render_key(key: ApiKey, now: float) -> KeyReply:
    """A key as its readers see it, without any of its digests."""
    limits = key.limits
    state: Literal["active", "expired", "revoked"] = "active"
    if key.revoked_at is not None:
        state = "revoked"
    elif not key.is_valid(now):
        state = "expired"
    former_until = None
    if key.former_digest is not None and key.former_until > now:
        former_until = key.former_until
    return {
        "id": key.id,
        "name": key.name,
        "scope": key.scope.value,
        "models": list(key.models),
        "rpm": limits.rpm,
        "tpm": limits.tpm,
        "concurrency": limits.concurrency,
        "budget_tokens": limits.budget_tokens,
        "budget_period": limits.budget_period,
        "priority": key.priority.value,
        "isolate_cache": key.isolate_cache,
        "state": state,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "former_until": former_until,
    }


def usage_counts(tokens: Tokens) -> dict[str, int]:
    """The counts of a ``UsageItem``."""
    return {
        "requests": tokens.requests,
        "prompt_tokens": tokens.prompt,
        "cached_tokens": tokens.cached,
        "completion_tokens": tokens.completion,
        "reasoning_tokens": tokens.reasoning,
        "refused": tokens.refused,
    }
