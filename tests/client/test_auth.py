"""The key is shown to servers that want one, and to nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer import errors


@pytest.fixture
def server_with_status(server: ScriptedServer) -> ScriptedServer:
    server.reply("GET", "/status", {})
    return server


def test_it_is_sent_if_the_server_wants_it(make_client: Any, server_with_status: ScriptedServer) -> None:
    server_with_status.reply("GET", "/v1/cluster/auth", {"auth": True})
    client = make_client(None, "secret")
    client.status()
    client.status()
    asked = [(one.path, one.headers.get("authorization")) for one in server_with_status.asked]
    assert asked == [("/v1/cluster/auth", None), ("/status", "Bearer secret"), ("/status", "Bearer secret")]


@pytest.mark.parametrize("answer", [Answer({"auth": False}), Answer({"detail": "Not Found"}, 404)])
def test_it_is_kept_if_not(make_client: Any, server_with_status: ScriptedServer, answer: Answer) -> None:
    server_with_status.answer("GET", "/v1/cluster/auth", answer)
    make_client(None, "secret").status()
    assert "authorization" not in server_with_status.asked[-1].headers


def test_a_server_that_cannot_say_gets_no_request(make_client: Any, server_with_status: ScriptedServer) -> None:
    server_with_status.answer("GET", "/v1/cluster/auth", Answer({"detail": "broken"}, 500))
    with pytest.raises(errors.XinferError, match="broken"):
        make_client(None, "secret").status()
    assert [asked.path for asked in server_with_status.asked] == ["/v1/cluster/auth"]


def test_making_a_client_sends_nothing_and_shows_no_key(make_client: Any, server: ScriptedServer) -> None:
    client = make_client(None, "secret")
    assert "secret" not in repr(client)
    assert server.asked == []


def test_netrc_is_not_read(
    make_client: Any, server_with_status: ScriptedServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    make_client().status()
    assert "authorization" not in server_with_status.asked[0].headers
