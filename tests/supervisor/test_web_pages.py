"""What pages in browsers may do: CORS on both planes, for successes, errors and streams."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope

from supervisor.app import Supervisor
from supervisor.gateway.exchange import BypassServe
from supervisor.web_pages import with_cors
from tests.supervisor.completions import CHAT, Gateway, chat
from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import RegistryDouble, fake_engine
from xinfer.settings import GatewaySettings

PAGE = "https://chat.example"
OTHER = "https://evil.example"
ORIGIN, CREDENTIALS = "access-control-allow-origin", "access-control-allow-credentials"
CHANGES = (("POST", "/v1/models"), ("DELETE", "/v1/models/m"), ("POST", "/v1/models/m/cancel"))


def cors(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


async def preflight(http: httpx.AsyncClient, path: str, origin: str = PAGE, method: str = "POST") -> httpx.Response:
    asked = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
    }
    return await http.options(path, headers=asked)


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/models/m", "/nowhere"])
async def test_it_is_off_unless_it_is_asked_for(http: httpx.AsyncClient, path: str) -> None:
    answers = [await preflight(http, path), await http.get(path, headers={"origin": PAGE})]
    assert [cors(answer) for answer in answers] == [{}, {}]
    assert answers[0].status_code in (403, 404, 405)
    assert "vary" not in answers[1].headers


@pytest.mark.parametrize(("path", "method"), [(CHAT, "POST"), ("/v1/models", "GET"), ("/v1/models/m", "DELETE")])
async def test_preflight_of_an_allowed_page(gateway: Gateway, path: str, method: str) -> None:
    http = await gateway(cors_origins=("http://localhost:3000", PAGE))
    answer = await preflight(http, path, method=method)
    assert answer.status_code == 200
    assert answer.headers[ORIGIN] == PAGE
    assert answer.headers[CREDENTIALS] == "true"
    assert method in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-os"
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("path", [CHAT, "/v1/models"])
async def test_preflight_of_another_page(gateway: Gateway, path: str) -> None:
    answer = await preflight(await gateway(cors_origins=(PAGE,)), path, origin=OTHER)
    assert answer.status_code == 400
    assert ORIGIN not in answer.headers


async def test_both_planes_their_errors_and_streams(gateway: Gateway, registry: RegistryDouble) -> None:
    http = await gateway(cors_origins=(PAGE,))
    async with fake_engine(tokens=3) as replica:
        await registry.tell(model_status(replica))
        for method, path, body, status in (
            ("POST", CHAT, chat(), 200),
            ("POST", CHAT, chat(stream=True), 200),
            ("POST", CHAT, chat(model="ghost"), 404),
            ("POST", CHAT, [], 400),
            ("GET", CHAT, None, 405),
            ("GET", "/v1/models", None, 200),
            ("GET", "/v1/models/ghost", None, 404),
            ("GET", "/nowhere", None, 404),
        ):
            answer = await http.request(method, path, json=body, headers={"origin": PAGE})
            assert answer.status_code == status, path
            assert (answer.headers[ORIGIN], answer.headers[CREDENTIALS]) == (PAGE, "true"), path
            assert "retry-after" in answer.headers["access-control-expose-headers"]

            other = await http.request(method, path, json=body, headers={"origin": OTHER})
            assert (other.status_code, ORIGIN in other.headers) == (status, False), path
            assert other.headers["vary"] == "Origin"
    unreachable = await http.post(CHAT, json=chat(stream=True), headers={"origin": PAGE})
    assert (unreachable.status_code, unreachable.headers[ORIGIN]) == (503, PAGE)


async def test_failure_that_nobody_foresaw_is_readable(
    gateway: Gateway, registry: RegistryDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.api.render.describe", lambda _: 1 / 0)
    await registry.tell(model_status(report()))
    http = await gateway(cors_origins=(PAGE,))
    answer = await http.get("/v1/models", headers={"origin": PAGE})
    assert (answer.status_code, answer.headers[ORIGIN]) == (500, PAGE)


async def test_any_origin_comes_without_credentials(gateway: Gateway) -> None:
    http = await gateway(cors_origins=("*",))
    answers = [
        await preflight(http, CHAT, origin=OTHER),
        await http.get("/v1/models", headers={"origin": OTHER, "cookie": "session=1"}),
        await http.get("/nowhere", headers={"origin": OTHER}),
    ]
    for answer in answers:
        assert answer.headers[ORIGIN] == "*"
        assert CREDENTIALS not in answer.headers


async def test_page_may_not_change_the_cluster(gateway: Gateway, registry: RegistryDouble) -> None:
    await registry.tell(model_status(report()))
    for origins in ((), ("*",), (PAGE,)):
        http = await gateway(cors_origins=origins)
        for method, path in CHANGES:
            for page in ([("origin", OTHER)], [("origin", "null")], [("origin", PAGE), ("origin", OTHER)]):
                answer = await http.request(method, path, headers=page)
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")
        assert (await http.get("/v1/models", headers={"origin": OTHER})).status_code == 200
    assert registry.asked == []


async def test_page_whose_origin_is_named_may(gateway: Gateway, registry: RegistryDouble) -> None:
    await registry.tell(model_status(report()))
    http = await gateway(cors_origins=(PAGE,))
    refused = await http.post("/v1/models", json={}, headers={"origin": PAGE})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "launch_refused")
    cancelled = await http.post("/v1/models/m/cancel", headers={"origin": PAGE})
    assert (cancelled.status_code, cancelled.headers[ORIGIN]) == (409, PAGE)


async def test_pieces_of_a_stream_go_out_by_the_server_s_own_send(registry: RegistryDouble) -> None:
    """As without CORS: nothing is put around what runs for every chunk."""
    seen: list[Any] = []

    async def see(scope: Scope, receive: Receive, send: Any) -> None:
        seen.append((scope["xinfer.bypass"][1], send))

    async def server_s_send(message: Message) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": [(b"origin", PAGE.encode())]}
    await BypassServe(with_cors(see, (PAGE,)))(scope, None, server_s_send)  # type: ignore[arg-type]
    ((piece, head),) = seen
    assert piece is server_s_send
    assert head is not server_s_send


def test_without_origins_nothing_is_around_the_application(registry: RegistryDouble) -> None:
    app = Supervisor(GatewaySettings(), registry)
    assert with_cors(app, ()) is app
