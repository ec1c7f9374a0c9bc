"""Bodies and responses of the routes for keys, usage and the audit log."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from xinfer.api_key import OPERATOR
from xinfer.cluster import given_keys
from xinfer.messages import ApiKey, KeyLimits, KeyScope, KeyUpdate, Priority, Tokens

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@+-]{0,63}\Z", re.ASCII)
_GLOB = re.compile(r"[A-Za-z0-9._*?\[\]!-]{1,100}\Z", re.ASCII)
_LONGEST_S = 10 * 366 * 86400
_RESERVED = {OPERATOR, *given_keys.NAMES}
_LIMITS = ("rpm", "tpm", "concurrency", "budget_tokens", "budget_period")


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value or []


def _check_name(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError("expected up to 64 letters, digits, blanks or . _ @ + -")
    if name in _RESERVED:
        raise ValueError(f"the name {name!r} is xinfer's own")
    return name


_Name = Annotated[
    str, AfterValidator(_check_name), Field(description="Letters, digits, blanks and . _ @ + -, at most 64 of them.")
]


class _KeyFields(BaseModel):
    """What a key is made with, and what may be changed about it later."""

    model_config = ConfigDict(extra="forbid")

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

    @field_validator("models")
    @classmethod
    def _check_models(cls, models: list[str]) -> list[str]:
        for glob in models:
            if not _GLOB.match(glob):
                raise ValueError(f"{glob[:100]!r} is no glob of model UIDs")
        return models

    def expires_at(self, now: float) -> float | None:
        """Unix time at which the key ends; None if it does not."""
        return None if self.expires_in is None else now + self.expires_in


class KeyRequest(_KeyFields):
    """A new key."""

    name: _Name
    scope: KeyScope = KeyScope.INFER

    @property
    def limits(self) -> KeyLimits:
        return KeyLimits(self.rpm, self.tpm, self.concurrency, self.budget_tokens, self.budget_period)


def _without_defaults(schema: dict[str, Any]) -> None:
    for each in schema["properties"].values():
        each.pop("default", None)


class UpdateRequest(_KeyFields):
    """What is to be different about a key: an absent field stays as it is, and a limit that is null is none from then on."""

    # The defaults are those of a new key, and mean nothing here.
    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_defaults)

    name: _Name = Field(default="")

    def update(self, now: float) -> KeyUpdate:
        """What this says, for the registry."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        limits = {name: given.pop(name) for name in _LIMITS if name in given}
        if "models" in given:
            given["models"] = tuple(self.models)
        if "expires_in" in given:
            del given["expires_in"]
            given["expires_at"] = self.expires_at(now)
        return KeyUpdate(given, limits)

    def __str__(self) -> str:
        """For the audit log, such as ``rpm=20, tpm=none``."""
        given = [name for name in type(self).model_fields if name in self.model_fields_set]
        return ", ".join(f"{name}={_shown(getattr(self, name))}" for name in given)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "none"
        case list():
            return " ".join(value) or "all"
        case float():
            return f"{value:.0f}"
        case _:
            return str(value)


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
