"""Every route of the live table has a scope, and nobody gets past the check: whatever the key, the method and the path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import APIRouter
from starlette.routing import Route
from starlette.types import Message

from supervisor.access.route_scopes import ROUTES, RouteScope
from supervisor.app import Supervisor
from supervisor.translate.engine_request import DATA_PLANE
from tests.security.guarded import Guarded, guarded
from tests.supervisor.document import control_plane
from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import fake_engine
from xinfer.api_key import new_key
from xinfer.messages import KeyScope

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "Post")
OPEN = {path for (_, path), scope in ROUTES.items() if scope is RouteScope.OPEN}
LIVE = [
    (method, route.path)
    for route in control_plane().routes
    for method in sorted(getattr(route, "methods", None) or {"GET"})
]
UIDS = {"{uid}": "m", "{type}": "LLM", "{name}": "tiny-chat", "{key_id}": "k", "{replica_id:int}": "0"}


def concrete(path: str) -> str:
    for template, value in UIDS.items():
        path = path.replace(template, value)
    return path.replace("{request_id:path}", "r").replace("{request_id}", "r").replace("{response_id}", "r")


PATHS = sorted({concrete(path) for _, path in LIVE} | {*DATA_PLANE, "/v1/models/m/tokenize", "/v1/models/m/detokenize"})


@pytest.fixture
async def cluster_with_keys(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with fake_engine(tokens=3) as engine, guarded(tmp_path) as found:
        await found.models.tell(model_status(engine))
        yield found


@pytest.mark.parametrize(("method", "path"), LIVE, ids=[f"{method} {path}" for method, path in LIVE])
def test_every_live_route_has_a_scope(method: str, path: str) -> None:
    """If this fails, add the route's line to ``supervisor/access/route_scopes.py``."""
    assert (method, path) in ROUTES, f'add ("{method}", "{path}", RouteScope.…) to supervisor/access/route_scopes.py'


def test_every_scope_has_a_live_route() -> None:
    assert set(ROUTES) == set(LIVE)


def test_only_liveness_login_and_its_page_are_open() -> None:
    liveness = {"/health", "/ping", "/v1/cluster/auth"}
    assert {*liveness, "/token", "/v1/session", "/", "/ui", "/ui/{name:path}"} == OPEN


async def test_a_route_without_a_scope_takes_an_admin(cluster_with_keys: Guarded) -> None:
    async def forgotten() -> dict[str, str]:
        return {"secret": "x"}

    routes: APIRouter = cluster_with_keys.apps[0].control.router
    routes.add_api_route("/v1/forgotten", forgotten, methods=["GET"])
    answers = [
        (await cluster_with_keys.ask("GET", "/v1/forgotten", key)).status_code
        for key in (None, *[await cluster_with_keys.key(scope) for scope in KeyScope])
    ]
    assert answers == [401, 403, 403, 200, 403]


async def test_no_request_without_a_valid_key_gets_through(cluster_with_keys: Guarded, figures: list[str]) -> None:
    """Every path and method with every kind of key that is not valid."""
    clock_past = 1.0
    revoked = await cluster_with_keys.key(KeyScope.ADMIN, revoked_at=clock_past)
    expired = await cluster_with_keys.key(KeyScope.ADMIN, expires_at=clock_past)
    former = await cluster_with_keys.key(KeyScope.ADMIN, former_digest=b"x" * 32, former_until=clock_past)
    shown = {
        "none": {},
        "empty": {"authorization": "Bearer"},
        "unknown": {"authorization": f"Bearer {new_key('0123456789')}"},
        "wrong": {"authorization": f"Bearer {former[:-4]}beef"},
        "revoked": {"x-api-key": revoked},
        "expired": {"authorization": f"Bearer {expired}"},
        "basic": {"authorization": f"Basic {expired}"},
        "operator": {"authorization": f"Bearer {new_key('operator')}"},
    }
    tried = 0
    through: list[tuple[str, str, str, int]] = []
    for path in PATHS:
        if path in OPEN:
            continue
        for method in METHODS:
            for kind, headers in shown.items():
                # Over HTTP it would take most of a minute; the other tests go that way.
                status = await status_of(cluster_with_keys.apps[0], method, path, headers)
                tried += 1
                if status != 401:
                    through.append((method, path, kind, status))
    figures.append(f"{tried} requests with no valid key, {len(through)} got through")
    assert through == []


async def test_keys_of_another_scope_get_nowhere(cluster_with_keys: Guarded, figures: list[str]) -> None:
    keys = {scope: await cluster_with_keys.key(scope) for scope in KeyScope}
    tried = 0
    through: list[tuple[str, str, KeyScope, int]] = []
    for (method, template), wanted in ROUTES.items():
        for scope, key in keys.items():
            if wanted.admits(scope):
                continue
            answer = await cluster_with_keys.ask(method, concrete(template), key)
            tried += 1
            if answer.status_code != 403:
                through.append((method, template, scope, answer.status_code))
    for path in DATA_PLANE:
        answer = await cluster_with_keys.ask("POST", path, keys[KeyScope.METRICS], json={"model": "m"})
        tried += 1
        if answer.status_code != 403:
            through.append(("POST", path, KeyScope.METRICS, answer.status_code))
    figures.append(f"{tried} requests with a key of a foreign scope, {len(through)} got through")
    assert through == []


TRICKS = (
    "//v1/models",
    "/V1/models",
    "/v1//models",
    "/v1/models/",
    "/v1/models/../models",
    "/health/../v1/models",
    "/health/%2e%2e/v1/models",
    "/health%2f..%2fv1%2fmodels",
    "/v1%2fmodels",
    "/v1/models%00",
    "/v1/models?path=/health",
    "/v1/models;/health",
    "/v1/models#/health",
    "/%2e/v1/models",
    "/health/",
    "/health//",
    "/health;x=/v1/models",
    "/HEALTH",
    "/ping/../metrics",
    "/-/routes/../v1/models",
    "/v1/chat/completions/",
    "/v1/chat%2fcompletions",
    "/v1/cluster/auth/../info",
    "/token/../v1/keys",
    "http://x/v1/models",
    "*",
)
HOSTS = ("x/health?", "127.0.0.1/health", "x/?", "x#", "health", "")


async def test_tricks_of_the_path_and_the_host(cluster_with_keys: Guarded) -> None:
    """Written to the socket by hand: clients and proxies would tidy them up."""
    asked = [(target, "x") for target in TRICKS]
    asked += [(path, host) for host in HOSTS for path in ("/v1/models", "/v1/keys", "/metrics")]
    for method in ("GET", "POST", "HEAD", "OPTIONS", "DELETE"):
        for target, host in asked:
            status, body = await raw(cluster_with_keys.urls[0], f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n")
            assert status in (400, 401), (method, target, host, status)
            assert b'"data"' not in body


HEADERS = (
    "X-Original-URL: /health",
    "X-Rewrite-URL: /health",
    "X-Forwarded-Prefix: /health",
    "X-Forwarded-Path: /health",
    "X-HTTP-Method-Override: GET",
    "X-Forwarded-For: 127.0.0.1",
    "x-xinfer-client: 127.0.0.1",
    "x-xinfer-secret: x",
    "Authorization: Bearer\r\nx-api-key:",
    "Cookie: api_key=x",
)


async def test_headers_that_would_say_otherwise(cluster_with_keys: Guarded) -> None:
    for headers in HEADERS:
        status, _ = await raw(cluster_with_keys.urls[0], f"GET /v1/models HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
        assert status == 401, headers


async def test_a_key_in_the_query_is_none(cluster_with_keys: Guarded) -> None:
    key = await cluster_with_keys.key(KeyScope.ADMIN)
    for name in ("api_key", "key", "access_token", "authorization"):
        assert (await cluster_with_keys.ask("GET", f"/v1/models?{name}={key}")).status_code == 401


async def test_the_body_is_not_read_before_the_check(cluster_with_keys: Guarded) -> None:
    """A client that says it will send a lot, and does not, has its 401 at once."""
    head = "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
    for path in ("/v1/chat/completions", "/v1/models", "/v1/keys", "/v1/messages"):
        async with asyncio.timeout(5):
            status, _ = await raw(cluster_with_keys.urls[0], head.format(path=path), close=False)
        assert status == 401


async def test_both_ways_to_show_a_key(cluster_with_keys: Guarded) -> None:
    key = await cluster_with_keys.key()
    for headers in ({"authorization": f"Bearer {key}"}, {"authorization": f"bearer  {key}"}, {"x-api-key": key}):
        assert (await cluster_with_keys.ask("GET", "/v1/models", headers=headers)).status_code == 200


async def test_refusals_have_the_shape_of_each_api(cluster_with_keys: Guarded) -> None:
    openai = (await cluster_with_keys.ask("POST", "/v1/chat/completions", "wrong")).json()
    assert openai["error"]["type"] == "authentication_error"
    assert openai["error"]["code"] == "invalid_api_key"
    assert openai["detail"] == openai["error"]["message"]
    anthropic = (await cluster_with_keys.ask("POST", "/v1/messages", "wrong")).json()
    assert (anthropic["type"], anthropic["error"]["type"]) == ("error", "authentication_error")
    key = await cluster_with_keys.key()
    refused = await cluster_with_keys.ask("DELETE", "/v1/models/m", key)
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")
    assert key.rpartition("_")[2] not in refused.text


async def test_open_routes_need_no_key_and_say_whether_others_do(cluster_with_keys: Guarded) -> None:
    assert (await cluster_with_keys.ask("GET", "/health")).json() == {"status": "ok"}
    assert (await cluster_with_keys.ask("HEAD", "/health")).status_code == 200
    assert (await cluster_with_keys.ask("GET", "/v1/cluster/auth")).json() == {"auth": True}


async def test_an_unknown_path_is_no_oracle(cluster_with_keys: Guarded) -> None:
    assert (await cluster_with_keys.ask("GET", "/nowhere")).status_code == 401
    assert (await cluster_with_keys.ask("GET", "/nowhere", await cluster_with_keys.key())).status_code == 404


def test_the_control_plane_has_no_route_that_cannot_be_walked() -> None:
    assert all(isinstance(route, Route) for route in control_plane().routes)


async def status_of(app: Supervisor, method: str, path: str, headers: dict[str, str]) -> int:
    """The status with which the application responds, called as a server calls it."""
    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "query_string": b"", "headers": named}
    statuses: list[int] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    (status,) = statuses
    return status


async def raw(url: str, head: str, close: bool = True) -> tuple[int, bytes]:
    """Status and body of the response to bytes as they stand."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write((head + ("Connection: close\r\n" if close else "") + "\r\n").encode("latin-1"))
        await writer.drain()
        line = await reader.readline()
        if close:
            return int(line.split()[1]), await reader.read()
        return int(line.split()[1]), b""
    finally:
        writer.close()


async def test_without_keys_nothing_is_asked_for(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/models")).status_code == 200
    for method, path in (("GET", "/v1/keys"), ("POST", "/v1/keys"), ("GET", "/v1/usage"), ("GET", "/v1/keys/self")):
        answer = await http.request(method, path, json={"name": "x"} if method == "POST" else None)
        assert answer.status_code == 404
        assert "requires no keys" in answer.json()["detail"]


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a supervisor that requires no keys."""
    from tests.supervisor.servers import RegistryDouble, serving
    from xinfer.settings import GatewaySettings

    registry = RegistryDouble()
    app = Supervisor(GatewaySettings(), registry)
    async with serving(app, lifespan="on") as url, httpx.AsyncClient(base_url=url, verify=False) as client:
        await registry.tell(model_status(report()))
        yield client
