"""The calls of the REST API for keys, usage and the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal

from xinfer.client._calls import Call, Json, _params, _quoted, _whole


class NotGiven(Enum):
    """Stands for what a call leaves as it is, where None says that something is to be gone."""

    NOT_GIVEN = "not given"

    def __repr__(self) -> str:
        return self.name


NOT_GIVEN = NotGiven.NOT_GIVEN


def _data(response: Any) -> list[Json]:
    data: list[Json] = response["data"]
    return data


def create_key(
    name: str,
    scope: Literal["infer", "launch", "admin", "metrics"] = "infer",
    models: Sequence[str] | None = None,
    rpm: int | None = None,
    tpm: int | None = None,
    concurrency: int | None = None,
    budget_tokens: int | None = None,
    budget_period: Literal["day", "month"] = "day",
    priority: Literal["high", "normal", "low"] = "normal",
    isolate_cache: bool = False,
    expires_in: float | None = None,
) -> Call[Json]:
    """Make a key. Its text is under ``key``, this once.

    ``models`` are globs of the model UIDs that it may use; ``expires_in`` is in seconds. A limit that is None is none.
    """
    body: Json = {
        "name": name,
        "scope": scope,
        "models": list(models or ()),
        "rpm": rpm,
        "tpm": tpm,
        "concurrency": concurrency,
        "budget_tokens": budget_tokens,
        "budget_period": budget_period,
        "priority": priority,
        "isolate_cache": isolate_cache,
        "expires_in": expires_in,
    }
    return Call("POST", "/v1/keys", _whole, body, repeatable=False)


def list_keys() -> Call[list[Json]]:
    """All keys, oldest first, revoked ones included; never their texts."""
    return Call("GET", "/v1/keys", _data)


def get_key(key: str) -> Call[Json]:
    """One key, by its id or its name."""
    return Call("GET", f"/v1/keys/{_quoted(key)}", _whole)


def get_own_key() -> Call[Json]:
    """The key of this client."""
    return Call("GET", "/v1/keys/self", _whole)


def update_key(
    key: str,
    *,
    name: str | NotGiven = NOT_GIVEN,
    models: Sequence[str] | NotGiven | None = NOT_GIVEN,
    rpm: int | NotGiven | None = NOT_GIVEN,
    tpm: int | NotGiven | None = NOT_GIVEN,
    concurrency: int | NotGiven | None = NOT_GIVEN,
    budget_tokens: int | NotGiven | None = NOT_GIVEN,
    budget_period: Literal["day", "month"] | NotGiven = NOT_GIVEN,
    priority: Literal["high", "normal", "low"] | NotGiven = NOT_GIVEN,
    isolate_cache: bool | NotGiven = NOT_GIVEN,
    expires_in: float | NotGiven | None = NOT_GIVEN,
) -> Call[Json]:
    """Change a key, by its id or name. Its text, its scope and its usage stay, and so does what is not given here.

    A limit that is None is none from then on, ``models`` None stands for all, and ``expires_in`` None for never. It counts for
    requests that begin afterwards.
    """
    fields: Json = {
        "name": name,
        "models": models,
        "rpm": rpm,
        "tpm": tpm,
        "concurrency": concurrency,
        "budget_tokens": budget_tokens,
        "budget_period": budget_period,
        "priority": priority,
        "isolate_cache": isolate_cache,
        "expires_in": expires_in,
    }
    body = {field: value for field, value in fields.items() if value is not NOT_GIVEN}
    return Call("PATCH", f"/v1/keys/{_quoted(key)}", _whole, body)


def rotate_key(key: str, overlap: float = 3600.0) -> Call[Json]:
    """Give a key, by its id or name, another text, which is under ``key``. The old one is valid for ``overlap`` seconds."""
    return Call("POST", f"/v1/keys/{_quoted(key)}/rotate", _whole, {"overlap": overlap}, repeatable=False)


def revoke_key(key: str, now: bool = False) -> Call[Json]:
    """Make a key, by its id or name, invalid. With ``now``, the streams end that are open with it."""
    return Call("DELETE", f"/v1/keys/{_quoted(key)}", _whole, {"now": now})


def get_usage(
    since: float | None = None,
    until: float | None = None,
    by: Sequence[Literal["key", "model", "hour"]] = ("key", "model"),
) -> Call[list[Json]]:
    """Requests and tokens between two Unix times, by default of the last seven days, summed over what is not in ``by``.

    With a key that is no admin's, of that key only.
    """
    return Call("GET", "/v1/usage", _data, params={**_params(since=since, until=until), "by": list(by)})


def get_audit_log(limit: int = 100) -> Call[list[Json]]:
    """The latest changes of models and keys, oldest first: who asked for what, from where, with what result."""
    return Call("GET", "/v1/audit", _data, params=_params(limit=limit))


def log_in(username: str, password: str) -> Call[str]:
    """The key to use from now on."""
    body = {"username": username, "password": password}
    return Call("POST", "/token", lambda response: str(response["access_token"]), body, repeatable=False)
