"""Requests made from the API's own description, for tests against doubles and against a real cluster."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from supervisor.api.unsupported_routes import why_unsupported
from tests.supervisor.document import document

_NO_REPLICA = ("model_loading", "unavailable")


def some(max_examples: int) -> settings:
    """The same requests each time, so many of each operation."""
    return settings(
        max_examples=max_examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def requests_of(*leave_out: tuple[str, str], **there: tuple[str, ...]) -> Any:
    """Every operation but these. ``there`` are values that path parameters get, three of four times; ``uid`` bodies, too."""
    schema = schemathesis.openapi.from_dict(document())
    for method, path in leave_out:
        schema = schema.exclude(method=method, path=path)

    @schema.hook
    def map_path_parameters(context: HookContext, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        chosen = {name: _choose(value, there.get(name, ())) for name, value in (path_parameters or {}).items()}
        return chosen or path_parameters

    @schema.hook
    def map_body(context: HookContext, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        body = {
            name: value for name, value in body.items() if name != "model_path"
        }  # it might be looked for on the hub
        if "model" in body:
            body["model"] = _choose(body["model"], there["uid"])
        if "messages" in body or "prompt" in body:
            body["max_tokens"] = 1
        return body

    return schema


def check(case: Case, url: str) -> None:
    """Send it; the answer is one that the description allows, and never a fault of xinfer's."""
    checks = [_never_our_fault, status_code_conformance, content_type_conformance, response_schema_conformance]
    if not why_unsupported("POST", case.formatted_path):
        checks.append(unsupported_method)
    case.call_and_validate(base_url=url, checks=checks, timeout=20)


def _choose(made_up: Any, there: tuple[str, ...]) -> Any:
    number = sum(str(made_up).encode(errors="replace")) % 4
    return there[number] if number < len(there) else made_up


def _never_our_fault(_context: CheckContext, response: Response, _case: Case) -> None:
    """No 5xx at all, apart from the 503 of a model that is on its way up."""
    if response.status_code >= 500:
        assert response.status_code == 503, response.text
        assert response.json()["error"]["code"] in _NO_REPLICA, response.text
