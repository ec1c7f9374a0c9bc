"""Keys as a supervisor has them: the check of every request, what it may use, and what is remembered of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable

from starlette.routing import BaseRoute
from starlette.types import Scope

from supervisor.access.caller import Caller, caller_of
from supervisor.access.guard import Guard
from supervisor.access.limits import Limiter
from supervisor.access.live_keys import LiveKeys
from supervisor.access.meter import Meter, PromptEstimator
from supervisor.access.refusal_pace import RefusalPace
from supervisor.access.session import Sessions
from supervisor.registry.access_client import AccessClient
from xinfer.access_settings import AccessSettings
from xinfer.api_key import OPERATOR, digest
from xinfer.messages import ApiKey, AuditEntry, KeyScope
from xinfer.names import CLIENT_ADDRESS

_METER = "xinfer.meter"
_ADDRESS = CLIENT_ADDRESS.encode()
_LONGEST = 200


class Access:
    """Everything about keys. A supervisor without it answers everybody.

    ``operator`` is the text of the operator's key, ``secret`` what sessions are signed with; None where there is none.
    ``refusals_per_s`` bounds how fast requests without a valid key are refused.
    """

    def __init__(
        self,
        settings: AccessSettings,
        registry: AccessClient,
        routes: Callable[[], Iterable[BaseRoute]],
        operator: str | None,
        secret: str | None = None,
        *,
        refusals_per_s: int,
    ) -> None:
        self.settings = settings
        self.refusal_pace = RefusalPace(refusals_per_s)
        self._limiter = Limiter(settings.supervisors, time.monotonic)
        self._estimator = PromptEstimator()
        self.live = LiveKeys(registry, self._limiter, _operators(operator))
        # Without a cluster around it, as in tests, sessions are of this supervisor alone.
        self.sessions = Sessions(self.live.ring, (secret or secrets.token_hex()).encode())
        self.guard = Guard(self.live.ring, self.sessions, routes)

    async def start(self) -> None:
        """Begin to follow the registry; returns with the keys at hand."""
        await self.live.start()

    async def stop(self) -> None:
        await self.live.stop()

    def check(self, scope: Scope, *, for_engine: bool) -> Caller | None:
        """Whose request it is; None for what everybody may ask. Raises ``AuthenticationFailed`` or ``PermissionRefused``."""
        return self.guard.check(scope, for_engine=for_engine)

    def meter(self, scope: Scope, caller: Caller) -> Meter:
        """Admits and counts the request, as a context manager around it."""
        meter = Meter(caller, self._limiter, self.live, self._estimator)
        scope[_METER] = meter
        return meter

    def audit(self, scope: Scope, status: int, request_id: str) -> None:
        """Note a change that was asked for, and what came of it. Reading is not noted."""
        caller = caller_of(scope)
        if scope["method"] in ("GET", "HEAD", "OPTIONS") or caller is None:
            return
        address = next((value.decode("latin-1") for name, value in scope["headers"] if name == _ADDRESS), None)
        route = scope.get("route")
        action = f"{scope['method']} {getattr(route, 'path', '')}"
        target = scope.get("xinfer.target") or " ".join(str(each) for each in scope.get("path_params", {}).values())
        self.live.audit(
            AuditEntry(
                at=time.time(),
                key=caller.key.id,
                name=caller.key.name,
                address=_printable(address or (scope.get("client") or ("", 0))[0]),
                action=action.strip(),
                target=_printable(target),
                status=status,
                request_id=request_id,
            )
        )


def limit_headers(scope: Scope) -> dict[str, str]:
    """Where the key of a request stands with its limits; empty without limits."""
    meter: Meter | None = scope.get(_METER)
    if meter is None:
        return {}
    return dict(meter.headers())


def set_target(scope: Scope, target: str) -> None:
    """What a change is about, for the audit log, where the path does not say it."""
    scope["xinfer.target"] = target


def _printable(text: str) -> str:
    """The text as a terminal can show it: it is a caller's."""
    return "".join(each if each.isprintable() else "?" for each in text[:_LONGEST])


def _operators(text: str | None) -> ApiKey | None:
    if text is None:
        return None
    return ApiKey(OPERATOR, OPERATOR, KeyScope.ADMIN, digest(text))
