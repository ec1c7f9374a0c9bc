"""The calls of the REST API for keys, usage and the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from xinfer.client._calls import Call, Json, _params, _quoted, _whole


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
