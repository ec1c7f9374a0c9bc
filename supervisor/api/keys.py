"""REST: keys, what was used with them, and the audit log."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse

from supervisor.access.access import Access, set_target
from supervisor.api.key_schemas import (
    AuditReply,
    KeyList,
    KeyReply,
    KeyRequest,
    LoginRequest,
    RevokeRequest,
    RotateRequest,
    TokenReply,
    UpdateRequest,
    UsageReply,
    render_key,
    usage_counts,
)
from supervisor.api.parameters import JsonObject, OptionalJsonObject, Requester, describe_body, validate
from supervisor.registry.access_client import AccessClient
from xinfer.api_key import digest, new_id, new_key
from xinfer.cluster import given_keys
from xinfer.errors import Conflict, NotFound
from xinfer.messages import ApiKey, Tokens, UsageRow

_DAY_S = 86400
_NOT_REQUIRED = "This cluster requires no keys; `xinfer start --auth` has it require them."
_NO_STORE = {"cache-control": "no-store"}

GroupBy = Literal["key", "model", "hour"]
_LATEST = 10**11
Since = Annotated[float | None, Query(ge=0, le=_LATEST, description="Unix time; a week ago without it.")]
Until = Annotated[float | None, Query(ge=0, le=_LATEST, description="Unix time; now without it.")]


class KeysApi:
    """Handlers of ``/v1/keys``, ``/v1/usage``, ``/v1/audit`` and ``/token``. The registry never sees the text of a key."""

    def __init__(self, access: Access | None, registry: AccessClient | None) -> None:
        self._access = access
        self._registry = registry

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route("/v1/keys", self.list_keys, methods=["GET"], summary="All keys, without their texts.")
        routes.add_api_route(
            "/v1/keys",
            self.create,
            methods=["POST"],
            summary="Make a key; its text is shown this once.",
            openapi_extra=describe_body(KeyRequest),
        )
        routes.add_api_route("/v1/keys/self", self.own, methods=["GET"], summary="The key of this request.")
        routes.add_api_route("/v1/keys/{key_id}", self.show, methods=["GET"], summary="One key, by its id or name.")
        routes.add_api_route(
            "/v1/keys/{key_id}",
            self.update,
            methods=["PATCH"],
            summary="Change a key's limits, models, priority, end or name; its text and its usage stay.",
            openapi_extra=describe_body(UpdateRequest),
        )
        routes.add_api_route(
            "/v1/keys/{key_id}",
            self.revoke,
            methods=["DELETE"],
            summary="Revoke a key.",
            openapi_extra=describe_body(RevokeRequest, required=False),
        )
        routes.add_api_route(
            "/v1/keys/{key_id}/rotate",
            self.rotate,
            methods=["POST"],
            summary="Give a key another text, which is shown this once.",
            openapi_extra=describe_body(RotateRequest, required=False),
        )
        routes.add_api_route(
            "/v1/usage", self.usage, methods=["GET"], summary="What was used; without an admin's key, with one's own."
        )
        routes.add_api_route("/v1/audit", self.audit, methods=["GET"], summary="Who has changed what.")
        routes.add_api_route(
            "/token",
            self.token,
            methods=["POST"],
            summary="Log in as Xinference's clients do; the password is a key.",
            openapi_extra=describe_body(LoginRequest),
        )

    async def list_keys(self) -> KeyList:
        _, registry = self._on()
        now = time.time()
        return {"object": "list", "data": [render_key(key, now) for key in await registry.keys()]}

    async def create(self, request: Request, response: Response, body: JsonObject) -> KeyReply:
        _, registry = self._on()
        asked = validate(KeyRequest, body)
        now = time.time()
        key_id = new_id()
        text = new_key(key_id)
        key = ApiKey(
            id=key_id,
            name=asked.name,
            scope=asked.scope,
            digest=digest(text),
            models=tuple(asked.models),
            limits=asked.limits,
            priority=asked.priority,
            isolate_cache=asked.isolate_cache,
            created_at=now,
            expires_at=asked.expires_at(now),
        )
        set_target(request.scope, f"{key.name} ({key.id}, {key.scope})")
        await registry.add_key(key)
        response.headers.update(_NO_STORE)
        return {**render_key(key, now), "key": text}

    async def own(self, caller: Requester) -> KeyReply:
        self._on()
        assert caller is not None, "the route is not open"
        return render_key(caller.key, time.time())

    async def show(self, key_id: str) -> KeyReply:
        _, registry = self._on()
        return render_key(await registry.key(key_id), time.time())

    async def update(self, request: Request, key_id: str, body: JsonObject) -> KeyReply:
        """Every supervisor goes by it once this is answered, for requests that begin then. What was used goes on counting."""
        _, registry = self._on()
        asked = validate(UpdateRequest, body)
        known = await registry.key(key_id)
        set_target(request.scope, f"{known.name} ({known.id}): {asked}")
        now = time.time()
        update = asked.update(now)
        if "name" in update.fields and known.name in given_keys.NAMES:
            raise Conflict(f"The key {known.name!r} is from a file, and the next start looks for it by this name.")
        key = await registry.update_key(known.id, update)
        return render_key(key, now)

    async def rotate(self, request: Request, response: Response, key_id: str, body: OptionalJsonObject) -> KeyReply:
        """Another text for the key. The one it has stays valid for ``overlap`` seconds, an hour by default."""
        _, registry = self._on()
        overlap_s = validate(RotateRequest, body).overlap
        known = await registry.key(key_id)
        set_target(request.scope, f"{known.name} ({known.id})")
        text = new_key(known.id)
        now = time.time()
        key = await registry.rotate_key(known.id, digest(text), now + overlap_s)
        response.headers.update(_NO_STORE)
        return {**render_key(key, now), "key": text}

    async def revoke(self, request: Request, key_id: str, body: OptionalJsonObject) -> KeyReply:
        """No supervisor takes the key once this is answered; with ``now``, streams that are open end as well."""
        _, registry = self._on()
        cut = validate(RevokeRequest, body).now
        key = await registry.revoke_key(key_id, cut)
        set_target(request.scope, f"{key.name} ({key.id})")
        return render_key(key, time.time())

    async def usage(
        self,
        caller: Requester,
        since: Since = None,
        until: Until = None,
        by: Annotated[list[GroupBy] | None, Query(description="What to show apart; key and model without it.")] = None,
        format: Annotated[Literal["json", "csv"], Query(description="Of the response.")] = "json",  # noqa: A002
    ) -> UsageReply:
        _, registry = self._on()
        assert caller is not None, "the route is not open"
        now = time.time()
        begin = now - 7 * _DAY_S if since is None else since
        end = now if until is None else until
        only = None if caller.is_admin else caller.key.id
        rows = await registry.usage_rows(begin, end, only)
        names = (
            {key.id: key.name for key in await registry.keys()} if caller.is_admin else {caller.key.id: caller.key.name}
        )
        items = _grouped(rows, by or ["key", "model"], names)
        if format == "csv":
            return PlainTextResponse(_csv(items), media_type="text/csv")  # type: ignore[return-value]
        return {"object": "list", "since": int(begin), "until": int(end), "data": items}  # type: ignore[typeddict-item]

    async def audit(self, limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> AuditReply:
        _, registry = self._on()
        entries = await registry.audit_entries(limit)
        return {"object": "list", "data": [asdict(entry) for entry in entries]}  # type: ignore[misc]

    async def token(self, response: Response, body: JsonObject) -> TokenReply:
        """The key that is the password. There are no users: the name is not looked at. 401 for a key that is not valid."""
        access, _ = self._on()
        asked = validate(LoginRequest, body)
        access.guard.caller(asked.password)
        response.headers.update(_NO_STORE)
        return {"access_token": asked.password, "token_type": "bearer"}

    def _on(self) -> tuple[Access, AccessClient]:
        if self._access is None or self._registry is None:
            raise NotFound(_NOT_REQUIRED)
        return self._access, self._registry


def _grouped(rows: list[UsageRow], by: list[GroupBy], names: dict[str, str]) -> list[dict[str, Any]]:
    """The sums of ``rows`` over everything that is not in ``by``."""
    sums: dict[tuple[Any, ...], Tokens] = {}
    for row in rows:
        values = {"hour": row.hour, "key": row.key, "model": row.model}
        group = tuple(values[name] for name in by)
        sums.setdefault(group, Tokens()).add(row.tokens)

    items: list[dict[str, Any]] = []
    for group, tokens in sums.items():
        item: dict[str, Any] = dict(zip(by, group, strict=True))
        if "key" in item:
            item["key_name"] = names.get(item["key"], item["key"])
        items.append({**item, **usage_counts(tokens)})
    return items


def _csv(items: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    if items:
        writer = csv.DictWriter(out, list(items[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(items)
    return out.getvalue()
