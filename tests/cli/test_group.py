"""The group: its help, its exit codes, its errors, and what it does not import."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from click.testing import Result

from tests.cli.imports import help_of
from tests.client.scripted_server import Answer, ScriptedServer
from xinfer import errors
from xinfer.cli.error_text import one_line
from xinfer.cli.group import COMMANDS

Run = Callable[..., Result]


def test_help_lists_every_command_and_imports_next_to_nothing() -> None:
    text, imported = help_of()
    assert all(f"  {name} " in text for name in COMMANDS)
    assert imported.isdisjoint({"ray", "vllm", "torch", "transformers", "requests", "aiohttp", "rich"})


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("start", "stop", "status")])
def test_each_command_has_help_that_begins_as_the_list_says(run: Run, name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert COMMANDS[name][1].split(".")[0].split(",")[0] in result.output


@pytest.mark.parametrize(
    "args",
    [
        ["nothing"],
        ["list", "--nothing"],
        ["list", "-e", "localhost:9997"],
        ["describe"],
        ["terminate", "a", "-u", "b"],
        ["launch"],
        ["launch", "q", "--n-gpu", "many"],
        ["launch", "q", "-n", "q"],
        ["launch", "q", "stray"],
        ["launch", "q", "--request-limits", "0"],
        ["launch", "q", "--request-limits", "many"],
        ["launch", "q", "--idle-timeout", "0"],
        ["launch", "q", "--idle-timeout", "soon"],
        ["launch", "q", "--kv-cache-gib", "0"],
        ["launch", "q", "--kv-cache-gib", "-1"],
        ["launch", "q", "--model_path", "x"],
        ["logs"],
        ["logs", "m", "--lines", "0"],
        ["logs", "m", "--lines", "10001"],
        ["launch", "q", "--x", "{"],
        ["chat", "m", "--temperature", "-1"],
        ["chat", "m", "a", "b"],
        ["chat", "m"],
    ],
)
def test_a_misuse_exits_with_2_and_sends_nothing_that_changes(
    run: Run, server: ScriptedServer, args: list[str]
) -> None:
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr
    assert {asked.method for asked in server.asked} <= {"GET"}


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (errors.ModelNotFound("No model 'm' is running"), "`xinfer list`"),
        (errors.AuthenticationFailed("A key is needed."), "XINFER_API_KEY"),
        (errors.InternalError("Two\nlines."), "log"),
    ],
)
def test_an_error_is_one_line_with_the_next_step(
    run: Run, server: ScriptedServer, error: errors.XinferError, step: str
) -> None:
    server.answer("GET", "/v1/models/m", Answer(error.body(), error.status, error.headers()))
    result = run("describe", "m")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert step in result.stderr


def test_a_message_that_names_a_step_gets_no_other() -> None:
    assert (
        one_line(errors.LaunchRefused("No such. `xinfer models` lists all.")) == "No such. `xinfer models` lists all."
    )


def test_no_server(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        result = run("list", "-e", f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert result.exit_code == 1
    assert "`xinfer start`" in result.stderr


@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_key(run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    server.reply("GET", "/v1/cluster/auth", {"auth": True})
    monkeypatch.setenv("XINFER_API_KEY", "secret" if by == "environment" else "")
    result = run("list", *(["-ak", "secret"] if by == "option" else []))
    assert result.exit_code == 0
    assert server.asked[-1].headers["authorization"] == "Bearer secret"
    assert "secret" not in run("list", "--help").output
