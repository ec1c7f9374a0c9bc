"""REST: logging in to the console. A key is shown once, and a cookie that scripts cannot read stands for it from then on."""

from __future__ import annotations

import os
import time

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from supervisor.access.access import Access
from supervisor.access.caller import Caller, set_caller
from supervisor.access.session import SESSION_S
from supervisor.api.key_schemas import KeyReply, render_key
from supervisor.api.parameters import JsonObject, describe_body, validate
from xinfer.cluster import tls
from xinfer.errors import NotFound

_NOT_REQUIRED = "This cluster requires no keys, and so no login."
_NO_STORE = {"cache-control": "no-store"}


class SessionRequest(BaseModel):
    """What a person pastes to log in."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(max_length=200, description="An API key.")


class SessionReply(TypedDict):
    """Who uses the console. ``key`` is None for whoever has to log in, and where no keys are required."""

    required: bool
    key: KeyReply | None
    expires_at: float | None
    csrf_token: str | None
    grafana_url: str | None


class SessionsApi:
    """Handlers of ``/v1/session``. They are open: they say themselves who may go on."""

    def __init__(self, access: Access | None, grafana_url: str | None) -> None:
        self._access = access
        self._grafana_url = grafana_url

    def add_routes(self, routes: APIRouter) -> None:
        """Add the routes of these handlers."""
        routes.add_api_route(
            "/v1/session", self.show, methods=["GET"], summary="Whether keys are required, and whose session this is."
        )
        routes.add_api_route(
            "/v1/session",
            self.open,
            methods=["POST"],
            summary="Log in with a key; the response sets a cookie.",
            openapi_extra=describe_body(SessionRequest),
        )
        routes.add_api_route("/v1/session", self.close, methods=["DELETE"], summary="Log out.")

    async def show(self, request: Request, response: Response) -> SessionReply:
        response.headers.update(_NO_STORE)
        if self._access is None:
            return _reply(required=False, grafana_url=self._grafana_url)
        found = self._access.guard.session(request.scope)
        if found is None:
            return _reply(required=True)
        return self._of(self._access, *found)

    async def open(self, request: Request, response: Response, body: JsonObject) -> SessionReply:
        """The text of a key is needed each time: a session does not open the next one."""
        if self._access is None:
            raise NotFound(_NOT_REQUIRED)
        caller = self._access.guard.caller(validate(SessionRequest, body).key.strip())
        # For the audit log: the route itself is open.
        set_caller(request.scope, caller)
        sessions = self._access.sessions
        text = sessions.open(caller.key, time.time())
        response.headers.update(_NO_STORE)
        response.set_cookie(
            sessions.cookie,
            text,
            max_age=int(SESSION_S),
            secure=_is_encrypted(request),
            httponly=True,
            samesite="strict",
        )
        return self._of(self._access, caller, text)

    async def close(self, request: Request, response: Response) -> SessionReply:
        response.headers.update(_NO_STORE)
        if self._access is None:
            raise NotFound(_NOT_REQUIRED)
        response.delete_cookie(
            self._access.sessions.cookie, secure=_is_encrypted(request), httponly=True, samesite="strict"
        )
        return _reply(required=True)

    def _of(self, access: Access, caller: Caller, text: str) -> SessionReply:
        return {
            "required": True,
            "key": render_key(caller.key, time.time()),
            "expires_at": access.sessions.end_of(text),
            "csrf_token": access.sessions.csrf_token(text),
            "grafana_url": self._grafana_url,
        }


def _reply(*, required: bool, grafana_url: str | None = None) -> SessionReply:
    return {"required": required, "key": None, "expires_at": None, "csrf_token": None, "grafana_url": grafana_url}


def _is_encrypted(request: Request) -> bool:
    """Whether the browser speaks TLS: to this cluster's HAProxy, or to a proxy in front, which its page's origin tells."""
    return bool(os.environ.get(tls.PEM)) or request.headers.get("origin", "").startswith("https://")
