"""The one place where keys are checked: before anything of a request's body is read, and on the path that is routed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from supervisor.access.caller import Caller, set_caller
from supervisor.access.key_ring import KeyRing
from supervisor.access.route_scopes import ROUTES, RouteScope
from supervisor.access.session import Sessions
from xinfer.errors import AuthenticationFailed, PermissionRefused

_BEARER = b"bearer "
_NO_KEY = "This server requires an API key: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`."
_WRONG_KEY = "The API key is not valid here: it is unknown, expired or revoked."
_OVER = "The session is over. Log in again."
_NO_TOKEN = "A change with a session's cookie needs the session's token in the header x-csrf-token."


class Guard:
    """Lets a request pass if its key may do what its route does. Without a route a request needs some valid key."""

    def __init__(
        self,
        ring: KeyRing,
        sessions: Sessions,
        routes: Callable[[], Iterable[BaseRoute]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ring = ring
        self._sessions = sessions
        self._routes = routes
        self._now = now

    def check(self, scope: Scope, *, for_engine: bool) -> Caller | None:
        """Whose request it is, which ``scope`` says from now on; None for what everybody may ask.

        Raises ``AuthenticationFailed`` or ``PermissionRefused``.
        """
        if for_engine:
            wanted = RouteScope.INFER
            uid = None
        else:
            wanted, uid = self._wanted(scope)
        if wanted is RouteScope.OPEN:
            return None

        caller = self._caller_in(scope)
        if not wanted.admits(caller.key.scope):
            raise PermissionRefused(
                f"This takes a key of the scope {wanted.value!r}, and this one has {caller.key.scope.value!r}."
            )
        if uid is not None:
            caller.check_model(uid)
        set_caller(scope, caller)
        return caller

    def caller(self, text: str | None) -> Caller:
        """Who shows the key ``text``. Raises ``AuthenticationFailed``."""
        if text is None:
            raise AuthenticationFailed(_NO_KEY)
        key = self._ring.check(text, self._now())
        if key is None:
            raise AuthenticationFailed(_WRONG_KEY)
        return Caller(key)

    def session(self, scope: Scope) -> tuple[Caller, str] | None:
        """Whose session a request's cookie is, and its text; None without one that is valid."""
        text = self._sessions.in_cookie(scope)
        key = self._sessions.key_of(text, self._now()) if text else None
        if text is None or key is None:
            return None
        return Caller(key), text

    def is_valid(self, caller: Caller) -> bool:
        """Whether the caller's key is still valid, for what goes on for long after the check."""
        key = self._ring.get(caller.key.id)
        return key is not None and key.is_valid(self._now())

    def _caller_in(self, scope: Scope) -> Caller:
        """Who shows a key, or a session. Raises ``AuthenticationFailed``; ``PermissionRefused`` for another server's page."""
        text = key_in(scope)
        if text is not None:
            return self._of_session(text) if self._sessions.is_one(text) else self.caller(text)

        text = self._sessions.in_cookie(scope)
        if text is None:
            raise AuthenticationFailed(_NO_KEY)
        caller = self._of_session(text)
        if not self._sessions.is_from_own_page(scope, text):
            raise PermissionRefused(_NO_TOKEN)
        return caller

    def _of_session(self, text: str) -> Caller:
        key = self._sessions.key_of(text, self._now())
        if key is None:
            raise AuthenticationFailed(_OVER)
        return Caller(key)

    def _wanted(self, scope: Scope) -> tuple[RouteScope, str | None]:
        """The scope of the route that the router will choose, by the router's own matching, and the model in its path."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        asked = {**scope, "method": method}
        for route in self._routes():
            match, found = route.matches(asked)
            if match is Match.FULL:
                path: str = getattr(route, "path", "")
                # Fail closed: nobody but an admin gets to a route that has no scope.
                wanted = ROUTES.get((method, path), RouteScope.ADMIN)
                return wanted, found.get("path_params", {}).get("uid")
        return RouteScope.INFER, None


def key_in(scope: Scope) -> str | None:
    """The key that a request shows: as OpenAI's clients send it, or as Anthropic's do."""
    other = None
    for name, value in scope["headers"]:
        if name == b"authorization" and value[:7].lower() == _BEARER:
            bearer: str = value[7:].strip().decode("latin-1")
            return bearer
        if name == b"x-api-key":
            other = value.strip().decode("latin-1")
    return other
