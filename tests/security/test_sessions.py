"""Sessions of browsers: what a cookie may do, what it needs beside it, and when it ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from supervisor.access.key_ring import KeyRing
from supervisor.access.session import SESSION_S, Sessions
from tests.security.guarded import Guarded, guarded
from tests.supervisor.samples import model_status
from tests.supervisor.servers import fake_engine
from xinfer.api_key import digest, new_id, new_key
from xinfer.messages import ApiKey, KeyScope

NOW = 1_795_000_000.0
SECRET = b"of the cluster"


def made(**facts: Any) -> ApiKey:
    key_id = new_id()
    return ApiKey(id=key_id, name="k", scope=KeyScope.INFER, digest=digest(new_key(key_id)), **facts)


def test_a_session_stands_for_its_key_for_some_hours() -> None:
    key = made()
    sessions = Sessions(KeyRing([key]), SECRET)
    text = sessions.open(key, NOW)
    assert sessions.is_one(text)
    assert sessions.key_of(text, NOW + SESSION_S - 1) == key
    assert sessions.key_of(text, NOW + SESSION_S) is None
    assert sessions.end_of(text) == NOW + SESSION_S
    assert key.digest.hex() not in text


def test_every_supervisor_knows_it_and_no_other_cluster_does() -> None:
    key = made()
    text = Sessions(KeyRing([key]), SECRET).open(key, NOW)
    assert Sessions(KeyRing([key]), SECRET).key_of(text, NOW) == key
    assert Sessions(KeyRing([key]), b"of another").key_of(text, NOW) is None
    assert Sessions(KeyRing([made()]), SECRET).key_of(text, NOW) is None
    assert Sessions(KeyRing(), SECRET).cookie != Sessions(KeyRing(), b"of another").cookie


def test_no_letter_of_it_can_be_changed() -> None:
    key = made()
    sessions = Sessions(KeyRing([key]), SECRET)
    text = sessions.open(key, NOW)
    for place, letter in enumerate(text):
        other = "0" if letter != "0" else "1"
        assert sessions.key_of(text[:place] + other + text[place + 1 :], NOW) is None, place
    assert sessions.key_of(text + "\n", NOW) is None


def test_it_ends_with_its_key() -> None:
    key = made(expires_at=NOW + 60)
    ring = KeyRing([key])
    sessions = Sessions(ring, SECRET)
    text = sessions.open(key, NOW)
    assert sessions.end_of(text) == NOW + 60
    assert sessions.key_of(text, NOW + 60) is None
    ring.update([replace(key, revoked_at=NOW)])
    assert sessions.key_of(text, NOW + 1) is None


def test_rotation_ends_it_after_the_overlap() -> None:
    key = made()
    ring = KeyRing([key])
    sessions = Sessions(ring, SECRET)
    text = sessions.open(key, NOW)
    ring.update([replace(key, digest=b"n" * 32, former_digest=key.digest, former_until=NOW + 10)])
    assert sessions.key_of(text, NOW + 9) is not None
    assert sessions.key_of(text, NOW + 10) is None


@pytest.fixture
async def cluster_with_keys(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with fake_engine(tokens=3) as engine, guarded(tmp_path) as found:
        await found.models.tell(model_status(engine))
        yield found


async def log_in(cluster: Guarded, key: str, **headers: str) -> tuple[httpx.Response, dict[str, str]]:
    """The response, and the cookie of the session as a browser sends it back."""
    answer = await cluster.ask("POST", "/v1/session", json={"key": key}, headers=headers)
    assert answer.status_code == 200
    # Not kept by the client: each request here says which cookie it sends.
    cookie = answer.headers["set-cookie"].partition(";")[0]
    cluster.http.cookies.clear()
    return answer, {"cookie": cookie}


async def test_login_sets_a_cookie_that_scripts_cannot_read(cluster_with_keys: Guarded) -> None:
    key = await cluster_with_keys.key(KeyScope.LAUNCH)
    answer, cookie = await log_in(cluster_with_keys, f" {key}\n")
    flags = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert "secure" not in flags
    assert key not in answer.text + answer.headers["set-cookie"]
    assert answer.headers["cache-control"] == "no-store"
    shown = (await cluster_with_keys.ask("GET", "/v1/session", headers=cookie)).json()
    assert shown == answer.json()
    assert (shown["required"], shown["key"]["scope"]) == (True, "launch")


async def test_cookie_is_for_tls_where_the_browser_speaks_it(cluster_with_keys: Guarded) -> None:
    key = await cluster_with_keys.key()
    host = cluster_with_keys.urls[0].removeprefix("http://")
    answer, _ = await log_in(cluster_with_keys, key, origin=f"https://{host}")
    assert "Secure" in answer.headers["set-cookie"]


async def test_nobody_logs_in_without_a_valid_key(cluster_with_keys: Guarded) -> None:
    expired = await cluster_with_keys.key(expires_at=1.0)
    _, cookie = await log_in(cluster_with_keys, await cluster_with_keys.key())
    session = cookie["cookie"].partition("=")[2]
    for text in ("", "wrong", new_key("0123456789"), expired, session):
        answer = await cluster_with_keys.ask("POST", "/v1/session", json={"key": text})
        assert answer.status_code == 401, text
        assert "set-cookie" not in answer.headers


async def test_nobody_is_told_anything_without_a_session(cluster_with_keys: Guarded) -> None:
    for cookie in ({}, {"cookie": "xinfer_session=x"}, {"cookie": "=;;"}):
        answer = await cluster_with_keys.ask("GET", "/v1/session", headers=cookie)
        assert answer.json() == {
            "required": True,
            "key": None,
            "expires_at": None,
            "csrf_token": None,
            "grafana_url": None,
        }


async def test_cookies_of_other_servers_are_not_in_the_way(cluster_with_keys: Guarded) -> None:
    """A browser sends those of every port of a machine."""
    _, cookie = await log_in(cluster_with_keys, await cluster_with_keys.key())
    among = {"cookie": f'a=[1,"x"]; {{}}; =; {cookie["cookie"]}; b="'}
    assert (await cluster_with_keys.ask("GET", "/v1/models", headers=among)).status_code == 200


async def test_scope_holds_for_sessions_too(cluster_with_keys: Guarded) -> None:
    _, cookie = await log_in(cluster_with_keys, await cluster_with_keys.key())
    for path, status in (("/v1/models", 200), ("/v1/keys/self", 200), ("/v1/nodes", 403), ("/v1/keys", 403)):
        assert (await cluster_with_keys.ask("GET", path, headers=cookie)).status_code == status, path


async def test_cookie_alone_changes_nothing(cluster_with_keys: Guarded) -> None:
    """Neither on routes of the control plane nor on those of engines, which pages of others may otherwise POST to."""
    answer, cookie = await log_in(cluster_with_keys, await cluster_with_keys.key(KeyScope.ADMIN))
    token = answer.json()["csrf_token"]
    chat = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    for method, path, body in (
        ("POST", "/v1/chat/completions", chat),
        ("POST", "/v1/keys", {"name": "another"}),
        ("DELETE", "/v1/keys/none", {}),
    ):
        for wrong in ({}, {"x-csrf-token": ""}, {"x-csrf-token": token[:-1]}, {"x-csrf-token": "0" * 64}):
            refused = await cluster_with_keys.ask(method, path, json=body, headers={**cookie, **wrong})
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied"), (path, wrong)
        passed = await cluster_with_keys.ask(method, path, json=body, headers={**cookie, "x-csrf-token": token})
        assert passed.status_code in (200, 404), passed.text


async def test_use_by_a_session_counts_for_its_key(cluster_with_keys: Guarded) -> None:
    admin = await cluster_with_keys.key(KeyScope.ADMIN)
    answer, cookie = await log_in(cluster_with_keys, await cluster_with_keys.key(name="alice"))
    headers = {**cookie, "x-csrf-token": answer.json()["csrf_token"]}
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    assert (await cluster_with_keys.ask("POST", "/v1/chat/completions", headers=headers, json=body)).status_code == 200
    used: Any = await cluster_with_keys.usage(admin)
    assert used["alice m"]["requests"] == 1


async def test_revocation_ends_a_session_and_its_stream_of_events(cluster_with_keys: Guarded) -> None:
    admin = await cluster_with_keys.key(KeyScope.ADMIN)
    _, cookie = await log_in(cluster_with_keys, await cluster_with_keys.key(KeyScope.LAUNCH, name="guest"))
    url = f"{cluster_with_keys.urls[0]}/v1/events"
    async with cluster_with_keys.http.stream("GET", url, headers=cookie) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        assert (await cluster_with_keys.ask("DELETE", "/v1/keys/guest", admin)).status_code == 200
        # The registry says something every few seconds, and the stream looks at its key then.
        await cluster_with_keys.models.tell()
        began = time.monotonic()
        async for _ in lines:
            assert time.monotonic() - began < 5
    assert (await cluster_with_keys.ask("GET", "/v1/events", headers=cookie)).status_code == 401


async def test_logout_takes_the_cookie_away(cluster_with_keys: Guarded) -> None:
    _, cookie = await log_in(cluster_with_keys, await cluster_with_keys.key())
    answer = await cluster_with_keys.ask("DELETE", "/v1/session", headers=cookie)
    assert answer.json()["key"] is None
    assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_session_stands_in_the_place_of_a_key(cluster_with_keys: Guarded) -> None:
    """As programs of the cluster use it, such as a benchmark; no cookie comes with it, so no token is needed."""
    _, cookie = await log_in(cluster_with_keys, await cluster_with_keys.key())
    assert (await cluster_with_keys.chat(cookie["cookie"].partition("=")[2])).status_code == 200


async def test_the_page_is_open_and_tells_no_version(cluster_with_keys: Guarded) -> None:
    page = await cluster_with_keys.ask("GET", "/ui/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    home = await cluster_with_keys.ask("GET", "/")
    assert "<h1>xinfer</h1>" in home.text
