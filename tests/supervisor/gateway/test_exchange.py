"""What Serve puts around the supervisor."""

from __future__ import annotations

from typing import Any

import pytest
from ray import serve
from ray.serve._private.http_util import parse_disconnect_disabled_header, validate_http_proxy_callback_return
from ray.serve._private.utils import call_function_from_import_path
from starlette.types import Receive, Scope, Send

from xinfer.names import SERVE_MIDDLEWARES
from xinfer.wire.paths import CHAT, COMPLETIONS


async def told(path: str, *headers: tuple[bytes, bytes], kind: str = "http") -> list[tuple[bytes, bytes]]:
    """The headers that Serve sees of a request to ``path``."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    for middleware in reversed(call_function_from_import_path(SERVE_MIDDLEWARES)):
        app = middleware.cls(app, *middleware.args, **middleware.kwargs)
    scope: dict[str, Any] = {"type": kind, "path": path, "headers": list(headers)}
    await app(scope, None, None)  # type: ignore[arg-type]
    return list(seen[0].get("headers", ()))


@pytest.fixture(autouse=True)
def in_a_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a replica of Serve."""
    monkeypatch.setattr(serve, "get_replica_context", lambda: None)


def test_serve_takes_what_the_name_stands_for() -> None:
    assert len(validate_http_proxy_callback_return(call_function_from_import_path(SERVE_MIDDLEWARES))) == 1


def test_the_fallback_proxy_gets_nothing_that_cannot_be_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert validate_http_proxy_callback_return(call_function_from_import_path(SERVE_MIDDLEWARES)) == []


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_completions_watch_their_clients_themselves(path: str) -> None:
    assert parse_disconnect_disabled_header(dict(await told(path)))


@pytest.mark.parametrize("path", ["/", "/v1/models", "/v1/models/m", "/v1/chat/completions/", "/-/healthz"])
async def test_serve_watches_all_other_clients(path: str) -> None:
    assert not parse_disconnect_disabled_header(dict(await told(path)))


async def test_no_client_can_say_otherwise() -> None:
    headers = await told(CHAT, (b"x-request-disconnect-disabled", b"?0"))
    assert parse_disconnect_disabled_header(dict(headers))


async def test_headers_of_the_request_stay() -> None:
    mine = (b"content-type", b"application/json")
    assert (await told(CHAT, mine))[0] == mine
    assert await told("/v1/models", mine) == [mine]


async def test_web_sockets_pass_untouched() -> None:
    assert await told(CHAT, kind="websocket") == []
