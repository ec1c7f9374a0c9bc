"""Keys, usage and the audit log through both clients."""

from __future__ import annotations

from typing import Any

from tests.client.scripted_server import ScriptedServer

KEY = {"id": "0123456789", "name": "alice", "key": "xinfer_0123456789_x"}


def test_keys(make_client: Any, server: ScriptedServer) -> None:
    for method, path in (
        ("POST", "/v1/keys"),
        ("GET", "/v1/keys/self"),
        ("GET", "/v1/keys/alice"),
        ("PATCH", "/v1/keys/alice"),
        ("POST", "/v1/keys/alice/rotate"),
        ("DELETE", "/v1/keys/alice"),
    ):
        server.reply(method, path, KEY)
    server.reply("GET", "/v1/keys", {"object": "list", "data": [KEY]})
    client = make_client()
    assert client.create_key("alice", models=["m*"], rpm=5) == KEY
    assert (server.asked[-1].body["models"], server.asked[-1].body["rpm"]) == (["m*"], 5)
    assert client.list_keys() == [KEY]
    assert client.get_key("alice") == client.get_own_key() == KEY
    assert client.update_key("alice", rpm=6, tpm=None, models=["n*"], expires_in=None) == KEY
    assert server.asked[-1].body == {"rpm": 6, "tpm": None, "models": ["n*"], "expires_in": None}
    assert client.update_key("alice", priority="low", isolate_cache=False) == KEY
    assert server.asked[-1].body == {"priority": "low", "isolate_cache": False}
    assert client.rotate_key("alice", overlap=5) == KEY
    assert server.asked[-1].body == {"overlap": 5}
    assert client.revoke_key("alice", now=True) == KEY
    assert server.asked[-1].body == {"now": True}


def test_usage_and_audit(make_client: Any, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/usage", {"object": "list", "data": [{"key": "k", "requests": 1}]})
    server.reply("GET", "/v1/audit", {"object": "list", "data": []})
    client = make_client()
    assert client.get_usage(1.5, by=["key", "hour"]) == [{"key": "k", "requests": 1}]
    assert client.get_audit_log(limit=5) == []


def test_login_uses_the_key_from_then_on(make_client: Any, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/cluster/auth", {"auth": True})
    server.reply("POST", "/token", {"access_token": "secret", "token_type": "bearer"})
    server.reply("GET", "/status", {})
    client = make_client()
    client.login("anybody", "secret")
    client.status()
    assert server.asked[-1].headers["authorization"] == "Bearer secret"
    assert server.asked[-2].body == {"username": "anybody", "password": "secret"}


def test_login_is_nothing_where_no_key_is_required(make_client: Any, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/cluster/auth", {"auth": False})
    make_client().login("anybody", "secret")
    assert [asked.path for asked in server.asked] == ["/v1/cluster/auth"]
