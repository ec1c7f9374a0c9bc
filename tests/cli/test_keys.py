"""The commands for keys, usage and the audit log: what they send and print."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from tests.client.scripted_server import ScriptedServer
from xinfer.cli import xinfer
from xinfer.cli.durations import Duration

KEY = {
    "id": "0123456789",
    "name": "alice",
    "scope": "infer",
    "models": ["m*"],
    "rpm": 5,
    "tpm": None,
    "concurrency": 2,
    "budget_tokens": 1000,
    "budget_period": "day",
    "priority": "low",
    "isolate_cache": False,
    "state": "active",
    "created_at": 0.0,
    "expires_at": 86400.0,
    "revoked_at": None,
    "former_until": None,
}
ROW = {
    "key": "0123456789",
    "key_name": "alice",
    "model": "m",
    "requests": 3,
    "prompt_tokens": 10,
    "cached_tokens": 4,
    "completion_tokens": 5,
    "reasoning_tokens": 1,
    "refused": 2,
}


def run(server: ScriptedServer, *words: str) -> Any:
    group, *rest = words
    done = CliRunner().invoke(xinfer, [group, *rest, "--endpoint", server.url], env={"XINFER_HOME": "/nonexistent"})
    assert done.exit_code == 0, done.output
    return done


def test_create_prints_the_key_alone_on_stdout(server: ScriptedServer) -> None:
    server.reply("POST", "/v1/keys", {**KEY, "key": "xinfer_text"})
    options = ("--models", "m*, n", "--budget-tokens", "20M/month", "--expires", "2d", "--priority", "low")
    done = run(server, "keys", "create", "alice", *options)
    assert done.stdout == "xinfer_text\n"
    assert "alice" in done.stderr
    sent = server.asked[-1].body
    assert (sent["models"], sent["budget_tokens"], sent["budget_period"]) == (["m*", "n"], 20_000_000, "month")
    assert (sent["expires_in"], sent["priority"], sent["scope"]) == (172800.0, "low", "infer")


def test_list_and_show(server: ScriptedServer) -> None:
    server.reply("GET", "/v1/keys", {"data": [KEY, {**KEY, "name": "old", "state": "revoked"}]})
    server.reply("GET", "/v1/keys/alice", KEY)
    listed = run(server, "keys", "list").stdout
    assert "5 rpm, 2 at once, 1000 tokens/day" in listed
    assert "1970-01-02" in listed
    assert "old" not in listed
    assert "old" in run(server, "keys", "list", "--all").stdout
    assert "5 rpm" in run(server, "keys", "show", "alice").stdout


def test_update_sends_what_is_given(server: ScriptedServer) -> None:
    server.reply("PATCH", "/v1/keys/alice", KEY)
    limits = ("--rpm", "20", "--tpm", "none", "--concurrency", "3", "--budget-tokens", "20M/month", "--models", "m*, n")
    assert "5 rpm" in run(server, "keys", "update", "alice", *limits).stdout
    assert server.asked[-1].body == {
        "rpm": 20,
        "tpm": None,
        "concurrency": 3,
        "budget_tokens": 20_000_000,
        "budget_period": "month",
        "models": ["m*", "n"],
    }
    others = ("--budget-tokens", "none", "--expires", "never", "--no-isolate-cache", "--name", "bob", "--json")
    assert '"name": "alice"' in run(server, "keys", "update", "alice", *others).stdout
    assert server.asked[-1].body == {"budget_tokens": None, "expires_in": None, "isolate_cache": False, "name": "bob"}
    run(server, "keys", "update", "alice", "--expires", "2d", "--priority", "high")
    assert server.asked[-1].body == {"expires_in": 172800.0, "priority": "high"}


@pytest.mark.parametrize(
    "words", [(), ("--rpm", "0"), ("--rpm", "never"), ("--budget-tokens", "5"), ("--expires", "none")]
)
def test_updates_that_are_none(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(xinfer, ["keys", "update", "alice", *words], env={"XINFER_HOME": "/nonexistent"})
    assert done.exit_code == 2
    assert "Error" in done.output


def test_rotate_and_revoke(server: ScriptedServer) -> None:
    server.reply("POST", "/v1/keys/alice/rotate", {**KEY, "key": "xinfer_other"})
    server.reply("DELETE", "/v1/keys/alice", KEY)
    assert run(server, "keys", "rotate", "alice", "--overlap", "1d").stdout == "xinfer_other\n"
    assert server.asked[-1].body == {"overlap": 86400.0}
    assert "revoked" in run(server, "keys", "revoke", "alice", "--now").stdout
    assert server.asked[-1].body == {"now": True}


def test_usage_as_a_table_and_as_csv(server: ScriptedServer) -> None:
    server.reply("GET", "/v1/usage", {"data": [ROW]})
    table = run(server, "usage", "--since", "12h").stdout
    assert table.splitlines()[0].split() == [
        "KEY",
        "MODEL",
        "REQUESTS",
        "PROMPT",
        "CACHED",
        "COMPLETION",
        "REASONING",
        "REFUSED",
    ]
    assert table.splitlines()[1].split() == ["alice", "m", "3", "10", "4", "5", "1", "2"]
    assert run(server, "usage", "--csv").stdout.splitlines()[1] == "0123456789,alice,m,3,10,4,5,1,2"


def test_audit(server: ScriptedServer) -> None:
    entry = {"at": 0.0, "key": "k", "name": "alice", "address": "10.0.0.9", "action": "DELETE /v1/models/{uid}"}
    server.reply("GET", "/v1/audit", {"data": [{**entry, "target": "m", "status": 200, "request_id": "r"}]})
    shown = run(server, "audit").stdout
    assert "1970-01-01 00:00:00  alice  10.0.0.9  DELETE /v1/models/{uid}  m       200" in shown


@pytest.mark.parametrize("text", ["", "5", "d", "-1d", "1y", "1d1h"])
def test_durations_that_are_none(text: str) -> None:
    done = CliRunner().invoke(xinfer, ["keys", "create", "a", "--expires", text])
    assert done.exit_code == 2


@pytest.mark.parametrize(("text", "seconds"), [("90d", 7776000), ("1.5h", 5400), ("2w", 1209600), ("30s", 30)])
def test_durations(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["5", "5/week", "x/day", "5/", "1.5M/day"])
def test_budgets_that_are_none(text: str) -> None:
    done = CliRunner().invoke(xinfer, ["keys", "create", "a", "--budget-tokens", text])
    assert done.exit_code == 2
