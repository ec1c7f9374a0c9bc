"""What keeps the requests of several keys apart in one engine: their ids, their caches, and who goes first."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from xinfer.engine_args import argument
from xinfer.errors import AbilityNotSupported
from xinfer.messages import ModelSpec, Priority
from xinfer.wire.paths import CHAT, COMPLETIONS, MESSAGES, RESPONSES

_GENERATING = frozenset({CHAT, COMPLETIONS, RESPONSES})
"""Routes of vLLM's whose bodies have a priority and a salt for the cache."""
_PRIORITIES = {Priority.HIGH: -10, Priority.NORMAL: 0, Priority.LOW: 10}
"""As vLLM has them: the smaller, the earlier."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose request it is, as far as an engine has to know."""

    id: str
    priority: Priority
    isolate_cache: bool

    def request_id(self, given: str) -> str:
        """The caller's own id of a request, as no other caller can name it."""
        return f"{self.id}-{given}"


def keep_apart(path: str, body: dict[str, Any], spec: ModelSpec, tenant: Tenant) -> None:
    """Put what the tenant's key says in the place of what the caller says, in a body for the engine's ``path``.

    Raises ``AbilityNotSupported`` if the route cannot keep the key's cache apart.
    """
    if isinstance(body.get("request_id"), str):
        body["request_id"] = tenant.request_id(body["request_id"])

    # The field is an error for an engine that takes requests as they come.
    body.pop("priority", None)
    if path in _GENERATING and argument(spec.engine_args, "scheduling_policy") == "priority":
        body["priority"] = _PRIORITIES[tenant.priority]

    if tenant.isolate_cache and path == MESSAGES:
        raise AbilityNotSupported(
            "vLLM cannot keep the prefix cache of this API's requests apart, as this key wants it; use /v1/chat/completions."
        )
    if tenant.isolate_cache and path in _GENERATING:
        salt = f"{tenant.id} {body.get('cache_salt') or ''}"
        body["cache_salt"] = hashlib.sha256(salt.encode()).hexdigest()

    # Its last chunk says what has been used, whether or not the caller wants to know.
    options = body.get("stream_options")
    if body.get("stream") is True and isinstance(options, dict) and options.get("include_usage") is False:
        body["stream_options"] = {name: value for name, value in options.items() if name != "include_usage"}
